// Package wire holds the codes and JSON forms that client and registry share, beside the exported
// types of package caio.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// Codes of CAIO's error envelope. The first five are CAIO's own. CAIO has no codes for the other
// cases, only statuses.
const (
	InvalidContract   = "INVALID_CONTRACT"
	ServiceNotFound   = "SERVICE_NOT_FOUND"
	NoMatchingService = "NO_MATCHING_SERVICE"
	SecurityViolation = "SECURITY_VIOLATION"
	InternalError     = "INTERNAL_ERROR"

	AlreadyRegistered    = "SERVICE_ALREADY_REGISTERED"
	DecisionNotFound     = "DECISION_NOT_FOUND"
	NotFound             = "NOT_FOUND"
	MethodNotAllowed     = "METHOD_NOT_ALLOWED"
	InvalidRequest       = "INVALID_REQUEST"
	RequestTooLarge      = "REQUEST_TOO_LARGE"
	UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE"
	RegistryFull         = "REGISTRY_FULL"
	RegistryBusy         = "REGISTRY_BUSY"
	StoreUnavailable     = "STORE_UNAVAILABLE"
)

// A Capability is a capability's type. It reads both of CAIO's forms: "chat" and {"type":"chat",
// ...}.
type Capability string

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Capability) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		var object struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(data, &object); err != nil {
			return errors.New(`a capability is a text or an object with a "type"`)
		}
		text = object.Type
	}
	if text == "" {
		return errors.New("a capability has no type")
	}
	*c = Capability(text)
	return nil
}

// Names returns the capabilities as text.
func Names(capabilities []Capability) []string {
	names := make([]string, len(capabilities))
	for i, c := range capabilities {
		names[i] = string(c)
	}
	return names
}

// Bound returns the wire form of a bound: {"min":0.9}.
func Bound(b contract.Bound) map[string]any {
	object := make(map[string]any, len(b.Other)+2)
	maps.Copy(object, b.Other)
	if b.Min != nil {
		object["min"] = *b.Min
	}
	if b.Max != nil {
		object["max"] = *b.Max
	}
	if b.SeedRequired != nil {
		object["seed_required"] = *b.SeedRequired
	}
	return object
}

// ParseBound is the inverse of [Bound]. value is decoded JSON from outside. It returns an error for
// anything but an object, and for members of the wrong type.
func ParseBound(value any) (contract.Bound, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return contract.Bound{}, errors.New(`a bound is an object, for example {"min": 0.9} or {"max": 500}`)
	}
	var b contract.Bound
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch member := object[key]; key {
		case "min", "max":
			number, ok := member.(float64)
			if !ok || math.IsNaN(number) || math.IsInf(number, 0) {
				return contract.Bound{}, fmt.Errorf("%s must be a number", key)
			}
			if key == "min" {
				b.Min = &number
			} else {
				b.Max = &number
			}
		case "seed_required":
			required, ok := member.(bool)
			if !ok {
				return contract.Bound{}, errors.New("seed_required must be true or false")
			}
			b.SeedRequired = &required
		default:
			if b.Other == nil {
				b.Other = make(map[string]any)
			}
			b.Other[key] = member
		}
	}
	return b, nil
}

// Clip returns text from outside in a form for messages: one line of valid UTF-8 without control
// characters, and at most limit runes.
func Clip(text string, limit int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}
