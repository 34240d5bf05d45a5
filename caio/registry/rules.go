package registry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/jsonvalue"
)

// checkPolicy returns an error for an invalid policy. The error names the place in the request.
func checkPolicy(p caio.Policy, at string) error {
	fail := func(format string, args ...any) error {
		return invalidRequest(at + ": " + fmt.Sprintf(format, args...))
	}
	if p.Type != "constraint" || p.Field == "" {
		return fail(`only policies like {"type": "constraint", "field": "requires_gpu", "value": false} are known`)
	}
	if p.Field == "capabilities" {
		if _, ok := p.Value.(string); !ok {
			return fail("the value of a policy on capabilities is a type, that is, a text")
		}
	}
	if strings.HasPrefix(p.Field, "guarantees.") {
		if _, err := boundOf(p.Value); err != nil {
			return fail("%v", err)
		}
	}
	for path := range p.When {
		if head, _, _ := strings.Cut(path, "."); path != "sensitive" && path != "user.trust_level" && (head == path || head != "intent" && head != "context") {
			return fail(`%q in "when" is no path of a request: write "intent.NAME", "context.NAME", "user.trust_level" or "sensitive"`, wire.Clip(path, 100))
		}
	}
	return nil
}

// boundOf takes a [contract.Bound] from Go callers and an object from others.
func boundOf(value any) (contract.Bound, error) {
	if bound, ok := value.(contract.Bound); ok {
		return bound, nil
	}
	return wire.ParseBound(value)
}

// applies reports whether all conditions of the policy hold for the request.
func applies(p caio.Policy, req caio.Request) bool {
	for path, wanted := range p.When {
		have, ok := subject(req, path)
		if !ok {
			return false
		}
		if list, isList := wanted.([]any); isList {
			if !slices.ContainsFunc(list, func(one any) bool { return jsonvalue.Equal(have, one) }) {
				return false
			}
			continue
		}
		if !jsonvalue.Equal(have, wanted) {
			return false
		}
	}
	return true
}

// subject returns the member of the request at a path.
func subject(req caio.Request, path string) (any, bool) {
	switch path {
	case "sensitive":
		return req.Sensitive, true
	case "user.trust_level":
		return req.TrustLevel, true
	}
	head, rest, _ := strings.Cut(path, ".")
	var at any = req.Context
	if head == "intent" {
		at = req.Intent
	}
	for rest != "" {
		object, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok := object[rest]; ok { // a name may have dots
			return value, true
		}
		head, rest, _ = strings.Cut(rest, ".")
		if at, ok = object[head]; !ok {
			return nil, false
		}
	}
	return at, true
}

// asRequirement returns what a policy that applies requires of a contract.
func asRequirement(p caio.Policy) contract.Requirements {
	if p.Field == "capabilities" {
		capability, _ := p.Value.(string) // checked
		return contract.Requirements{Capabilities: []string{capability}}
	}
	if property, ok := strings.CutPrefix(p.Field, "guarantees."); ok {
		bound, _ := boundOf(p.Value) // checked
		return contract.Requirements{Guarantees: map[string]contract.Bound{property: bound}}
	}
	return contract.Requirements{Constraints: map[string]any{p.Field: p.Value}}
}

// rulesFor returns the requirements of the policies that apply to the request.
func rulesFor(req caio.Request) []contract.Requirements {
	var rules []contract.Requirements
	for _, p := range req.Policies {
		if applies(p, req) {
			rules = append(rules, asRequirement(p))
		}
	}
	return rules
}

// A secured is what the security of a decision rests on beside request and contract.
type secured struct {
	Authentication string `json:"authentication"` // how the caller is known
}

// mayReceive reports whether the service may be given the request.
func (p *posting) mayReceive(req *caio.Request) bool {
	return p.trust <= req.TrustLevel && (p.confidential || !req.Sensitive)
}

// securityClauses holds the request against what the contract demands and may be given.
func securityClauses(ct *contract.Contract, req *caio.Request) []contract.Clause {
	list := ct.Match(contract.Requirements{TrustLevel: &req.TrustLevel}).Clauses
	if !req.Sensitive {
		return list
	}
	detail := "states no privacy"
	if p := ct.Privacy; p != nil {
		detail = fmt.Sprintf("data_locality is %q, encryption is %t", p.DataLocality, p.Encryption != nil && *p.Encryption)
	}
	met := confidential(ct)
	if !met {
		detail += "; sensitive data needs on_device, local or encryption"
	}
	return append(list, contract.Clause{Requirement: "sensitive data", Met: met, Detail: detail})
}

func invalidRequest(message string) *caio.Error {
	return &caio.Error{Op: "route", Status: http.StatusBadRequest, Code: wire.InvalidRequest, Message: message}
}
