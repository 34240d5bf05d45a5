package contract

import (
	"fmt"

	"golang.org/x/mod/semver"
)

// Bump says which part of a version changed, by Semantic Versioning 2.0.0.
type Bump int

// The bumps, in ascending order.
const (
	None  Bump = iota
	Patch      // nothing that a caller relies on has changed
	Minor      // callers can go on as before
	Major      // callers can break
)

// String returns "none", "patch", "minor" or "major".
func (b Bump) String() string {
	switch b {
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
func (b Bump) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// isVersion reports whether text is a version by Semantic Versioning 2.0.0. Package semver wants a
// "v" in front, and also takes versions with fewer than three numbers.
func isVersion(text string) bool {
	v := "v" + text
	return semver.IsValid(v) && semver.Canonical(v)+semver.Build(v) == v
}

// compareVersions orders versions by precedence (Semantic Versioning 2.0.0, section 11).
func compareVersions(a, b string) int { return semver.Compare("v"+a, "v"+b) }

// bumpOf returns the bump from a version to another, None if that is not a later one. Below 1.0.0
// the second number takes the part of the first, and the third that of the second.
func bumpOf(before, after string) Bump {
	v, w := numbersOf(before), numbersOf(after)
	bump := Major // also from a pre-release to its release: nothing was promised yet
	switch {
	case compareVersions(before, after) >= 0:
		return None
	case v[0] != w[0], v == w:
	case v[1] != w[1]:
		bump = Minor
	default:
		bump = Patch
	}
	if v[0] == 0 {
		bump++
	}
	return min(bump, Major)
}

// numbersOf returns the three numbers of a version, zeros for those that do not fit.
func numbersOf(version string) (numbers [3]uint64) {
	fmt.Sscanf(version, "%d.%d.%d", &numbers[0], &numbers[1], &numbers[2])
	return numbers
}

// versionError says why the bump from one version to another is not enough, "" if it is.
func versionError(before, after string, required Bump) string {
	switch made := bumpOf(before, after); {
	case compareVersions(before, after) > 0:
		return fmt.Sprintf("the version went back from %s to %s", before, after)
	case made == None && required > None:
		return fmt.Sprintf("the version is still %s, but the changes need a %s step: %s",
			before, required, nextVersion(before, required))
	case made < required:
		return fmt.Sprintf("%s to %s is a %s step, but the changes need a %s one: %s",
			before, after, made, required, nextVersion(before, required))
	}
	return ""
}

// nextVersion returns the least version that makes a bump.
func nextVersion(version string, bump Bump) string {
	n := numbersOf(version)
	index := int(Major - bump)
	if n[0] == 0 && bump > Patch {
		index++
	}
	n[index]++
	clear(n[index+1:])
	return fmt.Sprintf("%d.%d.%d", n[0], n[1], n[2])
}
