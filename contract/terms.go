package contract

import (
	"math"
	"reflect"
	"strings"
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
	section string // "" for all
	name    string
	compare comparison
	want    term
}

type comparison uint8

const (
	equals  comparison = iota
	forbids            // the service must not require it
	atLeast            // the limit must admit it
)

func newDemand(key string, want any) demand {
	d := demand{key: key, name: key, want: newTerm(want)}
	if section, name, ok := strings.Cut(key, "."); ok && (section == "constraints" || section == "privacy" || section == "alignment") {
		d.section, d.name = section, name
	}
	switch d.name {
	case "requires_gpu", "requires_internet":
		d.compare = forbids
	case "max_concurrent_requests", "max_context_tokens", "context_length.max_tokens",
		"rate_limit.per_second", "rate_limit.per_minute", "rate_limit.per_hour", "rate_limit.per_day":
		d.compare = atLeast
	}
	return d
}

// sound reports whether the demand has a value that can be compared.
func (d *demand) sound() bool {
	return d.compare == equals || d.compare == forbids && d.want.kind == truthTerm || d.compare == atLeast && d.want.kind == numberTerm
}

// heldBy reports whether c meets the demand, and what c says about it.
func (d *demand) heldBy(c *Contract) (met bool, have term) {
	have = c.term(d.section, d.name)
	switch {
	case !d.sound():
		return false, have
	case d.compare == forbids:
		return d.want.truth || have.kind != truthTerm || !have.truth, have
	case d.compare == atLeast:
		return have.kind == absentTerm || have.number >= d.want.number, have
	}
	return have.kind != absentTerm && have.equal(d.want), have
}

// term returns a member of constraints, privacy or alignment, the first that has it if section is "".
func (c *Contract) term(section, name string) term {
	var t term
	if section == "" || section == "constraints" {
		t = c.Constraints.term(name)
	}
	if t.kind == absentTerm && c.Privacy != nil && (section == "" || section == "privacy") {
		t = c.Privacy.term(name)
	}
	if t.kind == absentTerm && c.Alignment != nil && (section == "" || section == "alignment") {
		t = c.Alignment.term(name)
	}
	return t
}

func (c *Constraints) term(name string) term {
	switch name {
	case "max_concurrent_requests":
		return limitTerm(c.MaxConcurrentRequests)
	case "max_context_tokens", "context_length.max_tokens":
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
