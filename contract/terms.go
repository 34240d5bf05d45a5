package contract

import (
	"math"
	"reflect"
	"strings"
	"unique"
)

// A term is one member of constraints, privacy or alignment, ready to be compared without allocation.
type term struct {
	kind   termKind
	truth  bool
	number float64
	text   string
	other  any
}

type termKind uint8

const (
	absentTerm termKind = iota
	truthTerm
	numberTerm
	textTerm
	otherTerm
)

func newTerm(value any) term {
	switch v := value.(type) {
	case bool:
		return term{kind: truthTerm, truth: v}
	case string:
		return term{kind: textTerm, text: v}
	}
	if f, ok := toFloat(value); ok {
		return term{kind: numberTerm, number: f}
	}
	return term{kind: otherTerm, other: value}
}

func boolTerm(b *bool) term {
	if b == nil {
		return term{}
	}
	return term{kind: truthTerm, truth: *b}
}

func limitTerm(n int) term {
	if n <= 0 {
		return term{}
	}
	return term{kind: numberTerm, number: float64(n)}
}

func stringTerm(s string) term {
	if s == "" {
		return term{}
	}
	return term{kind: textTerm, text: s}
}

func mapTerm(m map[string]any, name string) term {
	value, known := m[name]
	if !known {
		return term{}
	}
	return newTerm(value)
}

// interned returns t with its text where all equal texts are, so that comparing them does not look there.
func (t term) interned() term {
	t.text = unique.Make(t.text).Value()
	return t
}

func (t term) equal(u term) bool {
	if t.kind != u.kind {
		return false
	}
	switch t.kind {
	case truthTerm:
		return t.truth == u.truth
	case numberTerm:
		return t.number == u.number
	case textTerm:
		return t.text == u.text
	}
	return reflect.DeepEqual(t.other, u.other)
}

// String names the term for people, cut to 40 characters.
func (t term) String() string {
	switch t.kind {
	case absentTerm:
		return "nothing"
	case truthTerm:
		return describe(t.truth)
	case numberTerm:
		return describe(t.number)
	case textTerm:
		return describe(t.text)
	}
	return describe(t.other)
}

// A demand is one entry of [Requirements.Constraints], ready to be held against many contracts.
type demand struct {
	key     string
	section section
	name    string
	compare comparison
	want    term
}

// A section is a part of a contract that has terms.
type section uint8

const (
	anywhere section = iota
	inConstraints
	inPrivacy
	inAlignment
	sections
)

type comparison uint8

const (
	equals  comparison = iota
	forbids            // the service must not require it
	atLeast            // the limit must admit it
)

func newDemand(key string, want any) demand {
	d := demand{key: key, name: key, want: newTerm(want)}
	if head, name, ok := strings.Cut(key, "."); ok {
		switch head {
		case "constraints":
			d.section, d.name = inConstraints, name
		case "privacy":
			d.section, d.name = inPrivacy, name
		case "alignment":
			d.section, d.name = inAlignment, name
		}
	}
	if d.name == "context_length.max_tokens" {
		d.name = "max_context_tokens"
	}
	switch d.name {
	case "requires_gpu", "requires_internet":
		d.compare = forbids
	case "max_concurrent_requests", "max_context_tokens",
		"rate_limit.per_second", "rate_limit.per_minute", "rate_limit.per_hour", "rate_limit.per_day":
		d.compare = atLeast
	}
	return d
}

// sound reports whether the demand has a value that can be compared.
func (d *demand) sound() bool {
	return d.compare == equals || d.compare == forbids && d.want.kind == truthTerm || d.compare == atLeast && d.want.kind == numberTerm
}

// heldBy reports whether a contract with the term meets the demand.
func (d *demand) heldBy(have term) bool {
	switch {
	case !d.sound():
		return false
	case d.compare == forbids:
		return d.want.truth || have.kind != truthTerm || !have.truth
	case d.compare == atLeast:
		return have.kind == absentTerm || have.number >= d.want.number
	}
	return have.kind != absentTerm && have.equal(d.want)
}

// term returns a member of constraints, privacy or alignment, the first that has it if it may be anywhere.
func (c *Contract) term(s section, name string) term {
	var t term
	if s == anywhere || s == inConstraints {
		t = c.Constraints.term(name)
	}
	if t.kind == absentTerm && c.Privacy != nil && (s == anywhere || s == inPrivacy) {
		t = c.Privacy.term(name)
	}
	if t.kind == absentTerm && c.Alignment != nil && (s == anywhere || s == inAlignment) {
		t = c.Alignment.term(name)
	}
	return t
}

// The names of terms that are fields; all others are in Other.
var (
	constraintFields = [...]string{"max_concurrent_requests", "max_context_tokens", "rate_limit.per_second", "rate_limit.per_minute",
		"rate_limit.per_hour", "rate_limit.per_day", "requires_internet", "requires_gpu"}
	privacyFields   = [...]string{"data_locality", "encryption", "encryption_type", "data_retention", "gdpr_compliant", "hipaa_compliant"}
	alignmentFields = [...]string{"safety_level", "content_filtering", "bias_mitigation", "toxicity_filtering"}
)

func (c *Constraints) term(name string) term {
	switch name {
	case "max_concurrent_requests":
		return limitTerm(c.MaxConcurrentRequests)
	case "max_context_tokens":
		return limitTerm(c.MaxContextTokens)
	case "rate_limit.per_second":
		return limitTerm(c.RateLimit.PerSecond)
	case "rate_limit.per_minute":
		return limitTerm(c.RateLimit.PerMinute)
	case "rate_limit.per_hour":
		return limitTerm(c.RateLimit.PerHour)
	case "rate_limit.per_day":
		return limitTerm(c.RateLimit.PerDay)
	case "requires_internet":
		return boolTerm(c.RequiresInternet)
	case "requires_gpu":
		return boolTerm(c.RequiresGPU)
	}
	return mapTerm(c.Other, name)
}

func (p *Privacy) term(name string) term {
	switch name {
	case "data_locality":
		return stringTerm(p.DataLocality)
	case "encryption":
		return boolTerm(p.Encryption)
	case "encryption_type":
		return stringTerm(p.EncryptionType)
	case "data_retention":
		return stringTerm(p.DataRetention)
	case "gdpr_compliant":
		return boolTerm(p.GDPRCompliant)
	case "hipaa_compliant":
		return boolTerm(p.HIPAACompliant)
	}
	return mapTerm(p.Other, name)
}

func (a *Alignment) term(name string) term {
	switch name {
	case "safety_level":
		return stringTerm(a.SafetyLevel)
	case "content_filtering":
		return boolTerm(a.ContentFiltering)
	case "bias_mitigation":
		return boolTerm(a.BiasMitigation)
	case "toxicity_filtering":
		return boolTerm(a.ToxicityFiltering)
	}
	return mapTerm(a.Other, name)
}

// toFloat returns a number of any type.
func toFloat(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, !math.IsNaN(v)
	case int:
		return float64(v), true
	}
	switch v := reflect.ValueOf(value); {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), !math.IsNaN(v.Float())
	}
	return 0, false
}
