package contract

import (
	"fmt"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
	"github.com/smarthaus/caio-bridge-go/internal/jsonvalue"
)

// A constraintClause is one entry of [Requirements.Constraints].
type constraintClause struct {
	key     string
	section section
	name    string // of the value in its section
	compare comparison
	want    any
}

// A section is a part of a contract that states values.
type section uint8

const (
	anySection section = iota
	inConstraints
	inPrivacy
	inAlignment
)

type comparison uint8

const (
	equals  comparison = iota
	forbids            // the service must not require it
	atLeast            // the limit must admit it
)

func newConstraintClause(key string, want any) *constraintClause {
	k := &constraintClause{key: key, name: key, want: want}
	if head, name, ok := strings.Cut(key, "."); ok {
		switch head {
		case "constraints":
			k.section, k.name = inConstraints, name
		case "privacy":
			k.section, k.name = inPrivacy, name
		case "alignment":
			k.section, k.name = inAlignment, name
		}
	}
	if k.name == "context_length.max_tokens" {
		k.name = "max_context_tokens"
	}
	switch k.name {
	case "requires_gpu", "requires_internet":
		k.compare = forbids
	case "max_concurrent_requests", "max_context_tokens",
		"rate_limit.per_second", "rate_limit.per_minute", "rate_limit.per_hour", "rate_limit.per_day":
		k.compare = atLeast
	}
	return k
}

func (k *constraintClause) requirement() string { return "constraints." + k.key }

func (k *constraintClause) metBy(c *Contract) bool {
	have, stated := c.value(k.section, k.name)
	switch k.compare {
	case forbids:
		want, ok := k.want.(bool)
		return ok && (want || have != true)
	case atLeast:
		want, ok := jsonvalue.Float(k.want)
		limit, _ := jsonvalue.Float(have)
		return ok && (!stated || limit >= want)
	}
	return stated && jsonvalue.Equal(have, k.want)
}

func (k *constraintClause) detail(c *Contract, met bool) string {
	have, stated := c.value(k.section, k.name)
	_, isBool := k.want.(bool)
	_, isNumber := jsonvalue.Float(k.want)
	switch {
	case k.compare == forbids && !isBool:
		return fmt.Sprintf("%s must be required as true or false, found %s", k.key, describe(k.want))
	case k.compare == atLeast && !isNumber:
		return fmt.Sprintf("%s must be required as a number, found %s", k.key, describe(k.want))
	case k.compare == forbids && !met:
		return fmt.Sprintf("%s is true, false was required", k.key)
	case k.compare == forbids:
		return fmt.Sprintf("%s is %t", k.key, have == true)
	case k.compare == atLeast && !stated:
		return fmt.Sprintf("%s is not limited", k.key)
	case k.compare == atLeast && !met:
		return fmt.Sprintf("%s is %s, at least %s was required", k.key, describe(have), describe(k.want))
	case !stated:
		return fmt.Sprintf("does not state %s, %s was required", tree.Shorten(k.key), describe(k.want))
	case !met:
		return fmt.Sprintf("%s is %s, %s was required", k.key, describe(have), describe(k.want))
	}
	return fmt.Sprintf("%s is %s", k.key, describe(have))
}

// A trustClause requires that callers of a trust level are served.
type trustClause float64

// requiredTrust names the value that says which callers the service serves.
const requiredTrust = "required_trust_level"

func (k trustClause) metBy(c *Contract) bool {
	have, stated := c.value(anySection, requiredTrust)
	level, isNumber := jsonvalue.Float(have)
	return !stated || isNumber && level <= float64(k)
}

func (k trustClause) requirement() string { return "trust_level" }

func (k trustClause) detail(c *Contract, met bool) string {
	if met {
		return "trusts callers of level " + number(float64(k))
	}
	have, _ := c.value(anySection, requiredTrust)
	return fmt.Sprintf("requires trust level %s, the caller has %s", describe(have), number(float64(k)))
}
