package contract

import (
	"fmt"
	"slices"
	"strings"
)

// A rule is what a code stands for.
type rule struct {
	code     string
	severity Severity
	demand   string // what is demanded, one sentence
	reason   string // why, and what to do
}

// ruleFor returns the rule with a code.
func ruleFor(code string) (rule, bool) {
	i := slices.IndexFunc(rules, func(r rule) bool { return r.code == code })
	if i < 0 {
		return rule{}, false
	}
	return rules[i], true
}

func severityOf(code string) Severity {
	r, _ := ruleFor(code)
	return r.severity
}

// Explain tells what the rule with a code, such as "guarantee/empty-bound", demands, and why. It returns "" if there is no
// such rule.
func Explain(code string) string {
	r, ok := ruleFor(code)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s (%s)\n\n%s\n\n%s", r.code, r.severity, r.demand, r.reason)
}

// Codes returns the codes of all rules, sorted.
func Codes() []string {
	codes := make([]string, len(rules))
	for i, r := range rules {
		codes[i] = r.code
	}
	slices.SortFunc(codes, strings.Compare)
	return codes
}

// rules are all rules, by section of the contract.
var rules = slices.Concat(fileRules, structureRules, promiseRules, termRules, apiRules)

var fileRules = []rule{
	{"file/alias-cycle", Error, "An alias must not contain itself.", "Such a value would be infinitely large. Write the value out at one of the places."},
	{"file/alias-limit", Error, "A file may expand at most 1,000 aliases.", "A few hundred bytes of nested aliases can stand for billions of values. Write the values out."},
	{"file/depth-limit", Error, "A file may have at most 100 levels of nesting.", "No contract needs more; deeper files exhaust readers. Move inline schemas to files of their own."},
	{"file/duplicate-key", Error, "A key may stand only once in an object.", "Readers disagree about which of the two counts, so the author and the reader of a promise could, too."},
	{"file/empty", Error, "The file must hold a contract.", "An empty file, or one of comments only, is often the outcome of a failed generation step."},
	{"file/encoding", Error, "The file must be UTF-8 text without control characters.", "Positions and names would be wrong otherwise. Save the file as UTF-8."},
	{"file/key-not-text", Error, "Keys must be text.", "Numbers, true and null as keys cannot be written in JSON, which the contract is sent as. Put the key in quotes."},
	{"file/leading-zero", Error, "Numbers must not have leading zeros.", "0777 is 511 to some YAML readers, 777 to others and text to a third kind. Write the number in decimal, or put it in quotes."},
	{"file/merge", Error, "A merge key (<<) takes an object or a list of objects.", "Name an object that was given an anchor:  <<: *defaults"},
	{"file/multi-document", Error, "A file holds one contract.", "Many readers silently take the first of several documents. Write a file per contract."},
	{"file/node-limit", Error, "A file may have at most 200,000 values, aliases expanded.", "More would take a gigabyte of memory. Write schemas as files, and fewer aliases."},
	{"file/number-form", Error, "Numbers must be written in decimal.", "Readers of YAML 1.1 and 1.2 disagree about 0x1F, 0b11 and 1_000. Write them in decimal, or in quotes if they are text."},
	{"file/number-range", Error, "Numbers must fit a 64-bit floating point number and have at most 100 characters.", "Infinity and NaN do not exist in JSON, and larger numbers become something else in most programs."},
	{"file/read-differently", Warning, "Unquoted text should mean the same to all YAML readers.", "yes, on, 1:30, dates and 1e5 are text or numbers to some readers and something else to others, PyYAML among them. Put texts in quotes and write 1.0e+5."},
	{"file/size-limit", Error, "A file may have at most 256 KiB, also as JSON and with aliases expanded.", "The limit bounds the memory a contract can take. Move schemas to files of their own."},
	{"file/syntax", Error, "The file must be valid YAML or JSON.", "The position is that of the first line from which on the file cannot be read."},
	{"file/tag", Error, "Values must not have tags that change their type.", "Tags such as !!binary and !!set have no equivalent in JSON. Leave the tag out."},
}

var structureRules = []rule{
	{"contract/both-ids", Error, "id and service_id must not differ.", "They are two names for the same thing. Keep one."},
	{"contract/id", Error, "A service's id consists of lowercase letters, digits, - and _.", "It is part of URLs and of log lines of the orchestrator."},
	{"contract/mixed-shape", Error, "Nothing stands beside service, but members whose names start with x-.", "In the nested shape all members are below service; what stands beside it would be ignored."},
	{"contract/shape", Error, "A contract is an object with the members of a service, at the top or below service.", "Both of  service: {id: …}  and  service_id: …  are understood."},
	{"contract/version", Error, "The version follows Semantic Versioning 2.0.0.", "Three numbers tell callers whether an update can break them. In YAML, 1.10 without quotes is the number 1.1."},
	{"schema/enum", Error, "The value must be one of those that are known.", "The fix lists them."},
	{"schema/required", Error, "The member must be present.", "Without it a caller could not use the service, or not know what it promises."},
	{"schema/type", Error, "The value must be of the right type.", "YAML decides by the look of a value: put numbers that are text, such as versions, in quotes; true and false are the only truth values."},
	{"schema/unknown-field", Error, "Members have the names that are known here, and none that is nearly one of them.", "A misspelt promise would be silently ignored. Names that start with x- are free for your own use."},
	{"schema/value", Error, "The value must be within its limits.", "The message says which."},
}

var promiseRules = []rule{
	{"capability/accuracy-not-guaranteed", Warning, "A capability's accuracy.min should not exceed what guarantees.accuracy promises.", "The orchestrator matches guarantees; a higher accuracy that stands only beside the capability is not held to."},
	{"capability/duplicate", Error, "A capability is listed once per set of parameters.", "Two entries of the same type could promise different accuracies."},
	{"capability/min-over-target", Error, "accuracy.min is not above accuracy.target.", "min is the promise, target is the aim."},
	{"capability/no-endpoint", Warning, "If some capabilities name their endpoint, all should.", "Callers cannot tell which endpoint serves the others."},
	{"capability/ratio-range", Error, "Accuracies are ratios from 0 to 1.", "95 % is written 0.95."},
	{"capability/unknown-endpoint", Error, "The endpoint that a capability names exists.", "Name it as \"POST /path\", as its path or by its id."},
	{"guarantee/bound-direction", Error, "A bound limits the side that matters to the caller.", "Latency needs a maximum; accuracy, availability and throughput need a minimum. The other side promises nothing."},
	{"guarantee/duplicate-property", Error, "A property is guaranteed once.", "Two bounds for the same property contradict each other, or one of them is idle."},
	{"guarantee/empty-bound", Error, "min is not above max.", "No measurement could satisfy such a bound."},
	{"guarantee/form", Error, "A guarantee says what it bounds and in which direction.", "Short forms such as  accuracy: 0.95  exist for well-known names. Write property and bound for your own."},
	{"guarantee/formula-only", Warning, "A guarantee should have a minimum or a maximum.", "A formula cannot be measured from traffic: nobody will be able to tell whether it is kept."},
	{"guarantee/latency-over-timeout", Warning, "A latency bound should be below the timeout.", "Calls beyond the timeout fail, so the bound says less than it seems to."},
	{"guarantee/little", Warning, "Throughput, latency and concurrency should be able to hold at once.", "By Little's law at most max_concurrent_requests divided by the latency in seconds can be served per second."},
	{"guarantee/misspelt-property", Error, "The property has a known name, or one that cannot be confused with one.", "A requirement for p95_latency_ms would never find p95_latncy_ms."},
	{"guarantee/non-positive", Error, "Latency bounds are above 0.", "Nothing answers in no time."},
	{"guarantee/quantile-order", Error, "p50 <= p95 <= p99 <= max.", "If 99 % of calls take at most 900 ms, then 95 % do, too."},
	{"guarantee/ratio-range", Error, "Accuracy, availability and conformance are ratios from 0 to 1.", "99.9 % is written 0.999."},
	{"guarantee/seed-not-in-input", Warning, "If determinism needs a seed, an input schema should have one.", "Callers cannot send what no request accepts."},
	{"guarantee/throughput-over-rate-limit", Error, "The promised throughput is not above the rate limit.", "A caller who uses what is promised would be turned away."},
	{"guarantee/unit", Error, "A property whose name ends in _ms is bounded in milliseconds.", "A unit beside the bound contradicts the name."},
	{"guarantee/unknown-invariant", Error, "The invariant that a guarantee names is defined.", "The invariant says how the promise is verified."},
	{"guarantee/unknown-property", Warning, "Properties should have well-known names.", "An orchestrator can match and measure only what it knows."},
	{"guarantee/unverifiable", Warning, "The rate limit should admit enough calls to verify a quantile within a day.", "To show with 99 % confidence that p99 holds takes 459 calls without a miss, p95 takes 90, p50 takes 7."},
	{"guarantee/vacuous", Warning, "A bound should exclude something.", "A minimum of 0 is always met."},
	{"invariant/check-syntax", Error, "A check is a name, an operator and a value.", "For example  error_rate <= 0.01"},
	{"invariant/duplicate", Error, "Each invariant has an id of its own.", "Guarantees refer to invariants by id."},
	{"invariant/threshold-differs", Warning, "An invariant's threshold should be the bound of the guarantee that names it.", "One of the two is out of date."},
	{"invariant/unused", Warning, "An invariant should be named by a guarantee.", "It may be left over, or a guarantee lacks its reference."},
}

var termRules = []rule{
	{"alignment/unfiltered", Warning, "A high safety level goes with content filtering.", "Callers that demand the level expect the filter."},
	{"constraints/bytes", Warning, "The input schema should not demand more than max_request_bytes admits.", "A text as long as the schema demands would be refused for its size."},
	{"constraints/internet", Warning, "A service at a public address should say that it requires internet.", "Whoever calls it needs internet, whatever the service itself needs."},
	{"constraints/tokens", Warning, "The input schema should not admit more tokens than context_length.", "Such requests pass validation and fail later."},
	{"cost/currency", Error, "Currencies are named by ISO 4217.", "Three capitals, such as USD."},
	{"cost/currency-missing", Warning, "A price should have a currency.", "Costs can be compared only in a known currency."},
	{"cost/field-unused-by-model", Warning, "Prices should fit the model.", "A price that the model does not use misleads."},
	{"cost/model-field", Error, "The model has the price that it needs, and free has none.", "per_token needs token_cost, per_request needs base_cost."},
	{"cost/negative", Error, "Prices are not negative.", "An orchestrator that prefers cheap services would always choose this one."},
	{"privacy/encryption-contradiction", Error, "encryption and encryption_type agree.", "true goes with a type, false with none."},
	{"privacy/gdpr-indefinite", Warning, "GDPR compliance does not go with unlimited retention.", "Personal data may be kept only as long as it is needed."},
	{"privacy/hipaa-unencrypted", Error, "HIPAA compliance goes with encryption.", "Health data must be encrypted in transit."},
	{"privacy/locality-url", Warning, "Data that stays local does not go to a public host.", "data_locality and base_url contradict each other."},
	{"privacy/plain-base-url", Error, "If encryption is promised, base_url is https.", "Over http everything is sent in the clear."},
	{"privacy/plain-loopback", Warning, "If encryption is promised, base_url should be https, even on this machine.", "It is harmless on loopback, but must be changed before the service is offered to others."},
	{"privacy/regions-unused", Warning, "Regions should be listed for regional locality only.", "on_device and local data does not leave for any region."},
	{"privacy/retention-contradiction", Error, "Data is kept either not beyond the session or for a number of days.", "none or session contradict a number of days above 0."},
	{"rate-limit/order", Error, "A longer window admits at least as much as a shorter one.", "Otherwise the shorter limit can never be reached and misleads."},
	{"rate-limit/unreachable", Warning, "A limit should be reachable.", "60 times per_second is less than per_minute, so per_minute never applies; likewise for longer windows."},
}

var apiRules = []rule{
	{"api/base-url", Error, "base_url is an absolute http or https URL of a host, without user, query or fragment.", "Paths of endpoints are appended to it. Credentials do not belong into a document that is published."},
	{"api/no-health", Warning, "There should be an endpoint GET /health.", "Orchestrators ask it whether the service is alive."},
	{"api/protocol-scheme", Error, "base_url starts with http:// or https://.", "gRPC is spoken over HTTP/2 and has such a URL, too."},
	{"api/secret", Warning, "Contracts should not hold keys or tokens.", "They are published to whoever lists services. Revoke it if it was real."},
	{"endpoint/ambiguous", Warning, "No request should fit two endpoints.", "/a/{x} and /a/b both answer /a/b; routers choose differently."},
	{"endpoint/duplicate", Error, "A method and path is listed once.", "Names of parameters and a slash at the end do not tell paths apart."},
	{"endpoint/get-body", Warning, "What GET and HEAD take should fit into a path and a query.", "Such requests have no body: many clients and proxies drop it. Their input_schema describes parameters."},
	{"endpoint/id-duplicate", Error, "Ids of endpoints are unique.", "Capabilities refer to endpoints by id."},
	{"endpoint/no-schema", Warning, "An endpoint that takes a body should have an input_schema.", "Without it nothing can be checked before the service is called."},
	{"endpoint/path-form", Error, "A path consists of whole segments, some of which may be {parameters}.", "Routers take anything else to mean something."},
	{"endpoint/schema-escape", Error, "Schema files lie in the folder of the contract or below.", "Otherwise a contract could read any file of the machine. Absolute paths, .., URLs and links that lead out are refused."},
	{"endpoint/schema-file", Error, "The schema file exists and can be read.", "Paths are relative to the contract."},
	{"endpoint/schema-invalid", Error, "An endpoint's schema is valid JSON Schema 2020-12.", "The position is that of the keyword that is wrong."},
	{"endpoint/schema-unsafe", Error, "A schema keeps within limits.", "Schemas can be written that take exponential time, overflow the stack or read files. Depth, size, patterns, references and the number of alternatives are limited: at most 3,000 JSON values each and 32,000 in all. docs/security.md lists the limits."},
	{"endpoint/unused", Warning, "If capabilities name their endpoints, each endpoint should be named.", "It may be left over."},
	{"schema/bad-example", Error, "Examples and defaults satisfy the schema that they stand in.", "People copy them."},
	{"schema/empty-enum", Error, "An enum lists at least one value.", "No value satisfies an empty one; some validators take it for anything."},
	{"schema/open-output", Warning, "An output schema should say which members an answer has.", "An object without properties or required members promises nothing."},
	{"schema/required-not-allowed", Error, "Required members are allowed.", "The member is required, but additionalProperties: false excludes it."},
	{"schema/unknown-keyword", Warning, "Keywords should be those of JSON Schema.", "Unknown ones are ignored, so a misspelt limit does not limit."},
	{"schema/unsatisfiable", Error, "Some value satisfies the schema.", "A minimum above the maximum excludes everything."},
	{"schema/untyped", Warning, "Properties of a request should have a type.", "Without one anything is admitted."},
}
