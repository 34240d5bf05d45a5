package contract

import (
	"strings"
	"unicode/utf8"
)

// nearest returns the candidate that name is most likely a misspelling of, or "". Case, "-" and "_" do not count;
// otherwise at most a third of the letters may be wrong. Among equals the one with the longest common prefix wins.
func nearest(name string, candidates []string) string {
	if utf8.RuneCountInString(name) > 64 {
		return ""
	}
	best, bestDistance, bestPrefix := "", 0, 0
	for _, candidate := range candidates {
		a, b := fold(name), fold(candidate)
		d, prefix := distance(a, b), commonPrefix(a, b)
		if d > max(1, min(len(a), len(b))/3) {
			continue
		}
		if best == "" || d < bestDistance || d == bestDistance && prefix > bestPrefix {
			best, bestDistance, bestPrefix = candidate, d, prefix
		}
	}
	return best
}

func fold(name string) []rune {
	return []rune(strings.ToLower(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, name)))
}

func commonPrefix(a, b []rune) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// distance counts the letters that must be inserted, removed, replaced or swapped with their neighbour to turn a into b
// (optimal string alignment).
func distance(a, b []rune) int {
	if len(a) < len(b) {
		a, b = b, a
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
