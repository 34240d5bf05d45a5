package contract

import (
	"fmt"
	"math"
	"strconv"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
	"github.com/smarthaus/caio-bridge-go/internal/jsonvalue"
)

// value returns a value of a section, and whether the contract states it. In anySection it is that
// of the first of constraints, privacy and alignment to state it.
func (c *Contract) value(s section, name string) (value any, stated bool) {
	if s == anySection || s == inConstraints {
		value, stated = c.Constraints.value(name)
	}
	if !stated && c.Privacy != nil && (s == anySection || s == inPrivacy) {
		value, stated = c.Privacy.value(name)
	}
	if !stated && c.Alignment != nil && (s == anySection || s == inAlignment) {
		value, stated = c.Alignment.value(name)
	}
	return value, stated
}

func (c *Constraints) value(name string) (any, bool) {
	switch name {
	case "max_concurrent_requests":
		return c.MaxConcurrentRequests, c.MaxConcurrentRequests > 0
	case "max_context_tokens":
		return c.MaxContextTokens, c.MaxContextTokens > 0
	case "rate_limit.per_second":
		return c.RateLimit.PerSecond, c.RateLimit.PerSecond > 0
	case "rate_limit.per_minute":
		return c.RateLimit.PerMinute, c.RateLimit.PerMinute > 0
	case "rate_limit.per_hour":
		return c.RateLimit.PerHour, c.RateLimit.PerHour > 0
	case "rate_limit.per_day":
		return c.RateLimit.PerDay, c.RateLimit.PerDay > 0
	case "requires_internet":
		return isTrue(c.RequiresInternet), c.RequiresInternet != nil
	case "requires_gpu":
		return isTrue(c.RequiresGPU), c.RequiresGPU != nil
	}
	value, stated := c.Other[name]
	return value, stated
}

func (p *Privacy) value(name string) (any, bool) {
	switch name {
	case "data_locality":
		return p.DataLocality, p.DataLocality != ""
	case "encryption":
		return isTrue(p.Encryption), p.Encryption != nil
	case "encryption_type":
		return p.EncryptionType, p.EncryptionType != ""
	case "data_retention":
		return p.DataRetention, p.DataRetention != ""
	case "gdpr_compliant":
		return isTrue(p.GDPRCompliant), p.GDPRCompliant != nil
	case "hipaa_compliant":
		return isTrue(p.HIPAACompliant), p.HIPAACompliant != nil
	}
	value, stated := p.Other[name]
	return value, stated
}

func (a *Alignment) value(name string) (any, bool) {
	switch name {
	case "safety_level":
		return a.SafetyLevel, a.SafetyLevel != ""
	case "content_filtering":
		return isTrue(a.ContentFiltering), a.ContentFiltering != nil
	case "bias_mitigation":
		return isTrue(a.BiasMitigation), a.BiasMitigation != nil
	case "toxicity_filtering":
		return isTrue(a.ToxicityFiltering), a.ToxicityFiltering != nil
	}
	value, stated := a.Other[name]
	return value, stated
}

// number writes 1000000 and 0.00001 as people do.
func number(f float64) string {
	if size := math.Abs(f); size >= 1e-6 && size < 1e15 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// describe names a value for people, cut to 40 characters.
func describe(value any) string {
	if f, ok := jsonvalue.Float(value); ok {
		return number(f)
	}
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return tree.Shorten(v)
	}
	return tree.Shorten(fmt.Sprint(value))
}
