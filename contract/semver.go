package contract

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Step is a step between two versions by Semantic Versioning 2.0.0.
type Step int

// The steps, in ascending order.
const (
	None  Step = iota
	Patch      // nothing that a caller relies on has changed
	Minor      // callers can go on as before
	Major      // callers can break
)

// String returns "none", "patch", "minor" or "major".
func (s Step) String() string {
	switch s {
	case Patch:
		return "patch"
	case Minor:
		return "minor"
	case Major:
		return "major"
	}
	return "none"
}

// MarshalText returns what String returns.
func (s Step) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A version is one by Semantic Versioning 2.0.0, without build metadata.
type version struct {
	numbers    [3]uint64
	prerelease []string
}

// parseVersion reads a version that the rules have accepted.
func parseVersion(text string) version {
	text, _, _ = strings.Cut(text, "+")
	core, prerelease, pre := strings.Cut(text, "-")
	var v version
	for i, part := range strings.SplitN(core, ".", 3) {
		v.numbers[i], _ = strconv.ParseUint(part, 10, 64)
	}
	if pre {
		v.prerelease = strings.Split(prerelease, ".")
	}
	return v
}

// compare orders versions by precedence (Semantic Versioning 2.0.0, 11).
func (v version) compare(w version) int {
	for i := range v.numbers {
		if c := cmp.Compare(v.numbers[i], w.numbers[i]); c != 0 {
			return c
		}
	}
	if len(v.prerelease) == 0 || len(w.prerelease) == 0 {
		return cmp.Compare(len(w.prerelease), len(v.prerelease)) // a release comes after its pre-releases
	}
	for i := range min(len(v.prerelease), len(w.prerelease)) {
		a, b := v.prerelease[i], w.prerelease[i]
		x, errA := strconv.ParseUint(a, 10, 64)
		y, errB := strconv.ParseUint(b, 10, 64)
		c := strings.Compare(a, b)
		switch {
		case errA == nil && errB == nil:
			c = cmp.Compare(x, y)
		case errA == nil:
			c = -1 // numbers come before names
		case errB == nil:
			c = 1
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.prerelease), len(w.prerelease))
}

// stepTo returns the step from v to a later w. Below 1.0.0 the second number plays the first's part and the third the
// second's.
func (v version) stepTo(w version) Step {
	changed := 3
	for i := range v.numbers {
		if v.numbers[i] != w.numbers[i] {
			changed = i
			break
		}
	}
	switch {
	case changed == 3 && v.compare(w) == 0:
		return None
	case changed == 0, changed == 3:
		return Major // also from a pre-release to its release: nothing was promised yet
	case v.numbers[0] == 0:
		return Major - Step(changed) + 1
	}
	return Major - Step(changed)
}

// versionFault says why the step from one version to another is not enough, "" if it is.
func versionFault(before, after string, required Step) string {
	v, w := parseVersion(before), parseVersion(after)
	switch made := v.stepTo(w); {
	case v.compare(w) > 0:
		return fmt.Sprintf("the version went back from %s to %s", before, after)
	case made == None && required > None:
		return fmt.Sprintf("the version is still %s, but the changes need a %s step: %s", before, required, v.next(required))
	case made < required:
		return fmt.Sprintf("%s to %s is a %s step, but the changes need a %s one: %s", before, after, made, required, v.next(required))
	}
	return ""
}

// next returns the least version that makes a step.
func (v version) next(step Step) string {
	n := v.numbers
	index := int(Major - step)
	if n[0] == 0 && step > Patch {
		index++
	}
	n[index]++
	for i := index + 1; i < len(n); i++ {
		n[i] = 0
	}
	return fmt.Sprintf("%d.%d.%d", n[0], n[1], n[2])
}
