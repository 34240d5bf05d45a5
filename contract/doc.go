// Package contract loads, checks, explains, compares and matches service contracts: what a service promises (its
// capabilities, guarantees, prices, privacy) and what it demands (limits, the form of requests), written as YAML or JSON.
//
// [Load] and its like read a contract and the JSON Schemas that it names, and either return a valid, immutable [Contract]
// or [Diagnostics] with every fault at once: its place, what was found and what to write. [Lint] warns of what is valid but
// doubtful, and [Explain] tells why a rule exists.
//
// [Contract.Match] holds a contract against what a caller requires, clause by clause; a [Matcher] does so for
// thousands of contracts. [Diff] tells which changes between two versions break callers, and which version they need.
// [Schema.Validate] checks a request or response by the schema of its endpoint.
//
// # Shapes and dialects
//
// A contract may be nested (members below "service:", with "id"), flat ("service_id" at the top), or the body of a
// registration ("contract:" around either). Capabilities may be text or objects. Guarantees may be spelt out with property
// and bound or written short, for example:
//
//	guarantees:
//	  accuracy: 0.95                   # classification_accuracy, at least
//	  latency: {p95: 500, p99_ms: 900} # p95_latency_ms and p99_latency_ms, at most
//	  throughput: 20                   # requests_per_second, at least
//	  availability: {target: 99.9}     # percent in this form; availability, at least 0.999
//	  determinism: true                # deterministic_output, without a seed
//
// Equal contracts in different forms are equal Go values; see [Contract.Equal].
//
// # Safety
//
// Contracts come from strangers. Files are limited in size, depth, values and aliases; schemas also in what they refer to,
// in patterns and in the work that checking a value can take. Nothing outside the given file system is opened, and nothing
// is fetched. Every input is answered with a value or an error, never with a panic.
package contract
