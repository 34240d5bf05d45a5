package registry

import (
	"strings"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// recordOf is what traces keep of a request, in the form of a request. Of intent and context, which may be large and
// private, only what policies depend on is kept.
func recordOf(req *caio.Request) map[string]any {
	record := map[string]any{}
	if len(req.Steps) == 0 {
		whole := stepRecord(wholeStep(*req))
		record["constraints"] = whole["constraints"]
		delete(whole, "constraints")
		record["requirements"] = whole
	} else {
		steps := make([]any, len(req.Steps))
		for i, step := range req.Steps {
			steps[i] = stepRecord(step)
		}
		record["steps"] = steps
	}
	if len(req.Policies) > 0 {
		record["policies"] = policiesRecord(req.Policies)
	}
	if req.TrustLevel != 0 {
		record["user"] = map[string]any{"trust_level": req.TrustLevel}
	}
	if req.Sensitive {
		record["sensitive"] = true
	}
	for _, p := range req.Policies {
		for path := range p.When {
			keepSubject(record, req, path)
		}
	}
	return record
}

func stepRecord(s caio.Step) map[string]any {
	guarantees := make(map[string]any, len(s.Guarantees))
	for property, bound := range s.Guarantees {
		guarantees[property] = wire.Bound(bound)
	}
	constraints := s.Constraints
	if constraints == nil {
		constraints = map[string]any{}
	}
	return map[string]any{"capabilities": s.Capabilities, "guarantees": guarantees, "constraints": constraints}
}

// policiesRecord spells out the bounds that Go callers may give.
func policiesRecord(policies []caio.Policy) []any {
	list := make([]any, len(policies))
	for i, p := range policies {
		one := map[string]any{"type": p.Type, "field": p.Field, "value": p.Value}
		if bound, ok := p.Value.(contract.Bound); ok {
			one["value"] = wire.Bound(bound)
		}
		if len(p.When) > 0 {
			one["when"] = p.When
		}
		list[i] = one
	}
	return list
}

// keepSubject copies the member of the request at a path into the record, under its whole path, which finds it again.
func keepSubject(record map[string]any, req *caio.Request, path string) {
	head, rest, nested := strings.Cut(path, ".")
	value, ok := subject(*req, path)
	if !ok || !nested || head == "user" {
		return
	}
	kept, _ := record[head].(map[string]any)
	if kept == nil {
		kept = map[string]any{}
		record[head] = kept
	}
	kept[rest] = value
}
