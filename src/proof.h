/*-------------------------------------------------------------------------
 *
 * proof.h
 *	  Proofs over the ledger.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PROOF_H
#define CPIS_PROOF_H

#include "merkle.h"

extern Datum ProofDatum(const MerkleProof *proof);

#endif							/* CPIS_PROOF_H */
