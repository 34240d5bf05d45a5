package contract

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
)

func (d *differ) constraints(before, after Constraints) {
	for _, limit := range []struct {
		path    string
		was, is int
	}{
		{"max_concurrent_requests", before.MaxConcurrentRequests, after.MaxConcurrentRequests},
		{"rate_limit.per_second", before.RateLimit.PerSecond, after.RateLimit.PerSecond},
		{"rate_limit.per_minute", before.RateLimit.PerMinute, after.RateLimit.PerMinute},
		{"rate_limit.per_hour", before.RateLimit.PerHour, after.RateLimit.PerHour},
		{"rate_limit.per_day", before.RateLimit.PerDay, after.RateLimit.PerDay},
		{"context_length.max_tokens", before.MaxContextTokens, after.MaxContextTokens},
	} {
		d.number("constraints", "constraints."+limit.path, limitOf(limit.was), limitOf(limit.is), higher, false)
	}
	d.flag("constraints", "constraints.requires_internet", before.RequiresInternet, after.RequiresInternet, false)
	d.flag("constraints", "constraints.requires_gpu", before.RequiresGPU, after.RequiresGPU, false)
	d.others("constraints", "constraints", before.Other, after.Other, map[string]direction{
		"timeout_ms": higher, "max_request_bytes": higher, "max_response_bytes": higher})
}

// limitOf returns nil for no limit.
func limitOf(n int) *float64 {
	return floatOrNil(float64(n), n > 0)
}

func (d *differ) api(before, after API) {
	if before.Protocol != after.Protocol {
		d.breaking("api/protocol-changed", "api.protocol", before.Protocol, after.Protocol, "callers speak the other protocol")
	}
	d.baseURL(before.BaseURL, after.BaseURL)
	key := func(e Endpoint) string { return e.Method + " " + erased(e.Path) }
	for _, was := range before.Endpoints {
		path := fmt.Sprintf("api.endpoints[%s]", was)
		i := slices.IndexFunc(after.Endpoints, func(e Endpoint) bool { return key(e) == key(was) })
		if i < 0 {
			d.breaking("endpoint/removed", path, was.String(), "", "calls to it fail")
			continue
		}
		is := after.Endpoints[i]
		d.input(path+".input_schema", was, is)
		d.output(path+".output_schema", was, is)
	}
	for _, is := range after.Endpoints {
		if !slices.ContainsFunc(before.Endpoints, func(e Endpoint) bool { return key(e) == key(is) }) {
			d.additive("endpoint/added", fmt.Sprintf("api.endpoints[%s]", is), "", is.String(), "can be called in addition")
		}
	}
}

func (d *differ) baseURL(before, after string) {
	if before == after {
		return
	}
	was, errWas := url.Parse(before)
	is, errIs := url.Parse(after)
	const path = "api.base_url"
	switch {
	case errWas == nil && errIs == nil && was.Scheme == "https" && is.Scheme == "http":
		d.breaking("api/base-url-plain", path, before, after, "calls are no longer encrypted")
	default:
		d.add("api/base-url-moved", Neutral, Minor, path, before, after, "callers that ask the orchestrator for the address find it; others do not")
	}
}

// input compares what callers may send: everything that was accepted must be.
func (d *differ) input(path string, before, after Endpoint) {
	had, has := before.InputSchema != nil || before.InputFile != "", after.InputSchema != nil || after.InputFile != ""
	switch {
	case !had && !has:
	case !had:
		d.breaking("schema/input-added", path, "", after.InputFile, "requests are checked that were not")
	case !has:
		d.additive("schema/input-removed", path, before.InputFile, "", "requests are no longer checked")
	case before.InputSchema == nil || after.InputSchema == nil:
		d.unopened(path, before.InputFile, after.InputFile)
	default:
		d.schema(path, before.InputSchema, after.InputSchema, true)
	}
}

// output compares what callers may get: everything that comes must have been possible.
func (d *differ) output(path string, before, after Endpoint) {
	had, has := before.OutputSchema != nil || before.OutputFile != "", after.OutputSchema != nil || after.OutputFile != ""
	switch {
	case !had && !has:
	case !had:
		d.additive("schema/output-added", path, "", after.OutputFile, "the form of answers is promised")
	case !has:
		d.breaking("schema/output-removed", path, before.OutputFile, "", "the form of answers is no longer promised")
	case before.OutputSchema == nil || after.OutputSchema == nil:
		d.unopened(path, before.OutputFile, after.OutputFile)
	default:
		d.schema(path, before.OutputSchema, after.OutputSchema, false)
	}
}

// unopened compares schemas by the names of their files.
func (d *differ) unopened(path, before, after string) {
	if before != after {
		d.undecided("schema/file-changed", path, before, after, "the schemas could not be opened here")
	}
}

// schema compares two versions of an input or output schema.
func (d *differ) schema(path string, before, after *Schema, input bool) {
	was, is := before.inner, after.inner
	if reflect.DeepEqual(was.Document(), is.Document()) {
		return
	}
	narrowed, widened := was.Subset(is), is.Subset(was)
	if narrowed.Verdict == jsonschema.Yes && widened.Verdict == jsonschema.Yes {
		d.add("schema/text", Neutral, Patch, path, "", "", "allows the same values")
		return
	}
	relation, rule, breaks := narrowed, "schema/input-", "accepts less"
	reason := narrowed.Reason("before", "now")
	if !input {
		relation, rule, breaks = widened, "schema/output-", "may return what it could not"
		reason = widened.Reason("now", "before")
	}
	if len(relation.Path) > 0 {
		path += " at " + strings.Join(relation.Path, ".")
	}
	switch {
	case relation.Verdict == jsonschema.No:
		d.breaking(rule+"breaking", path, "", "", breaks+": "+reason)
	case relation.Verdict == jsonschema.Unknown:
		d.undecided(rule+"undecided", path, "", "", reason)
	case input:
		d.additive(rule+"widened", path, "", "", "accepts all that it did, and more")
	default:
		d.additive(rule+"narrowed", path, "", "", "returns nothing that it could not")
	}
}
