package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/tree"
	"github.com/smarthaus/caio-bridge-go/internal/jsonvalue"
)

// Class says what a [Change] means to callers. Everything in a contract is a promise of the service or a demand on its
// callers: a promise that is weakened or a demand that is tightened breaks callers; the opposite does not.
type Class int

const (
	Neutral  Class = iota // says nothing that a caller can rely on
	Additive              // a promise strengthened or a demand relaxed
	Unknown               // cannot be compared, and counts as breaking until somebody has looked
	Breaking              // a promise weakened or a demand tightened
)

// String returns the class in lower case.
func (c Class) String() string {
	switch c {
	case Additive:
		return "additive"
	case Unknown:
		return "undecided"
	case Breaking:
		return "breaking"
	}
	return "neutral"
}

// MarshalText returns what String returns.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// A Change is one difference between two versions of a contract.
type Change struct {
	Rule  string `json:"rule"` // for example "guarantee/weakened"
	Class Class  `json:"class"`
	Bump  Bump   `json:"step"`          // the least bump of the version that the change needs
	Path  string `json:"path"`          // in the flat, full form, for example "guarantees.latency.bound.max"
	Old   string `json:"old,omitempty"` // "" if it was absent
	New   string `json:"new,omitempty"` // "" if it is absent
	Why   string `json:"why"`           // in words
}

// String returns the change in one line.
func (c Change) String() string {
	return fmt.Sprintf("%s: %s: %s [%s, %s]", c.Class, c.Path, c.Why, c.Rule, c.Bump)
}

// Changes are the differences between two versions of a contract.
type Changes struct {
	List     []Change `json:"changes"`  // in the order of the contract's sections
	Required Bump     `json:"required"` // the least bump that the version must make
	Made     Bump     `json:"made"`     // the bump that it made; None if it went back

	VersionError string `json:"fault,omitempty"` // what is wrong with the version; "" if Made is enough
}

// String returns one line per change, and what is wrong with the version.
func (c Changes) String() string {
	var b strings.Builder
	for _, change := range c.List {
		b.WriteString(change.String() + "\n")
	}
	if c.VersionError != "" {
		b.WriteString("version: " + c.VersionError + "\n")
	}
	return b.String()
}

// Diff classifies every difference between two versions of a contract and says which bump of the version they need by
// Semantic Versioning 2.0.0. Below 1.0.0, the second number of a version takes the part of the first.
//
// Schemas are compared by the values that they allow: a request schema may only come to allow more, a response schema
// only less. "Additive" is never said of a schema in error; what cannot be decided is [Unknown].
func Diff(before, after *Contract) Changes {
	d := &differ{}
	d.identity(before, after)
	d.capabilities(before, after)
	d.guarantees(before, after)
	d.cost(before.Cost, after.Cost)
	d.privacy(before.Privacy, after.Privacy)
	d.alignment(before.Alignment, after.Alignment)
	d.constraints(before.Constraints, after.Constraints)
	d.api(before.API, after.API)
	d.invariants(before, after)
	d.texts(before, after)
	if len(d.list) == 0 && !before.Equal(after) && before.Version == after.Version {
		d.add("contract/other", Neutral, Patch, "", "", "", "something changed that has no meaning here")
	}
	changes := Changes{List: d.list}
	for _, change := range d.list {
		changes.Required = max(changes.Required, change.Bump)
	}
	changes.Made = bumpOf(before.Version, after.Version)
	changes.VersionError = versionError(before.Version, after.Version, changes.Required)
	return changes
}

type differ struct{ list []Change }

func (d *differ) add(rule string, class Class, bump Bump, path, before, after, why string) {
	d.list = append(d.list, Change{Rule: rule, Class: class, Bump: bump, Path: path, Old: tree.Shorten(before), New: tree.Shorten(after), Why: why})
}

// breaking, additive and undecided are add with the class's bump.
func (d *differ) breaking(rule, path, before, after, why string) {
	d.add(rule, Breaking, Major, path, before, after, why)
}

func (d *differ) additive(rule, path, before, after, why string) {
	d.add(rule, Additive, Minor, path, before, after, why)
}

func (d *differ) undecided(rule, path, before, after, why string) {
	d.add(rule, Unknown, Major, path, before, after, why)
}

// direction says which values of a number are better for callers.
type direction int

const (
	higher direction = iota // for example accuracy, or a rate limit
	lower                   // for example latency, or a price
)

// number compares a number that is good for callers in one direction. worst says what its absence means: the worst value
// (a promise that is not made) or the best (a limit that does not exist).
func (d *differ) number(section, path string, before, after *float64, better direction, absentIsWorst bool) {
	if before == nil && after == nil || before != nil && after != nil && *before == *after {
		return
	}
	improved := false
	switch {
	case before == nil:
		improved = absentIsWorst
	case after == nil:
		improved = !absentIsWorst
	default:
		improved = (*after > *before) == (better == higher)
	}
	verb := "changed from " + optional(before) + " to " + optional(after)
	if improved {
		d.additive(section+"/strengthened", path, optional(before), optional(after), verb+", to the advantage of callers")
		return
	}
	d.breaking(section+"/weakened", path, optional(before), optional(after), verb+", to the disadvantage of callers")
}

func optional(f *float64) string {
	if f == nil {
		return "nothing"
	}
	return number(*f)
}

// flag compares a truth value of which one is good for callers. One that is absent counts as false.
func (d *differ) flag(section, path string, before, after *bool, good bool) {
	was, is := describeFlag(before), describeFlag(after)
	why := "changed from " + was + " to " + is
	switch {
	case was == is:
	case isTrue(before) == isTrue(after):
		d.add(section+"/stated", Neutral, Patch, path, was, is, why+", which means the same")
	case isTrue(after) == good:
		d.additive(section+"/strengthened", path, was, is, why)
	default:
		d.breaking(section+"/weakened", path, was, is, why)
	}
}

func describeFlag(b *bool) string {
	switch {
	case b == nil:
		return "nothing"
	case *b:
		return "true"
	}
	return "false"
}

// rank compares a text that has a place in a list, best first. Texts outside the list cannot be compared.
func (d *differ) rank(section, path, before, after string, order []string) {
	if before == after {
		return
	}
	was, is := slices.Index(order, before), slices.Index(order, after)
	why := fmt.Sprintf("changed from %s to %s", orNothing(before), orNothing(after))
	switch {
	case before == "":
		d.additive(section+"/strengthened", path, before, after, why)
	case after == "":
		d.breaking(section+"/weakened", path, before, after, why)
	case was < 0 || is < 0:
		d.undecided(section+"/changed", path, before, after, why+"; which is better is not known")
	case is < was:
		d.additive(section+"/strengthened", path, before, after, why)
	default:
		d.breaking(section+"/weakened", path, before, after, why)
	}
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return tree.Shorten(text)
}

// others compares members whose meaning is not known, except that the direction of some is.
func (d *differ) others(section, path string, before, after map[string]any, known map[string]direction) {
	keys := slices.Collect(maps.Keys(before))
	for key := range after {
		if _, both := before[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		was, is := before[key], after[key]
		if reflect.DeepEqual(was, is) {
			continue
		}
		x, okX := jsonvalue.Float(was)
		y, okY := jsonvalue.Float(is)
		if better, directed := known[key]; directed && (okX || was == nil) && (okY || is == nil) {
			d.number(section, tree.JoinPath(path, key), floatOrNil(x, okX), floatOrNil(y, okY), better, false)
			continue
		}
		d.undecided(section+"/changed", tree.JoinPath(path, key), compact(was), compact(is), "changed; what that means to callers is not known")
	}
}

func floatOrNil(f float64, ok bool) *float64 {
	if !ok {
		return nil
	}
	return &f
}

// compact is a value as JSON, "" for nil.
func compact(value any) string {
	if value == nil {
		return ""
	}
	data, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(data)
}
