package registry

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// A sortedList has what a plain list has after any changes, in few chunks, and older lists stay as they were.
func TestSortedListIsLikeAPlainList(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var list sortedList[int]
	plain := map[int]bool{}
	for step := range 3000 {
		before, was := list, slices.Concat(list...)
		if grows := step%1500 < 1000; grows {
			if one := random.IntN(100_000); !plain[one] {
				plain[one] = true
				list = list.with(one, cmp.Compare[int])
			}
		} else {
			gone := slices.Concat(list...)
			random.Shuffle(len(gone), func(i, j int) { gone[i], gone[j] = gone[j], gone[i] })
			gone = gone[:min(len(gone), random.IntN(4))]
			slices.Sort(gone)
			for _, one := range gone {
				delete(plain, one)
			}
			list = list.without(gone, cmp.Compare[int])
		}
		all := slices.Concat(list...)
		if !slices.IsSorted(all) || len(all) != len(plain) || !slices.Equal(slices.Concat(before...), was) {
			t.Fatalf("step %d: %d elements, want %d in order", step, len(all), len(plain))
		}
		for _, chunk := range list {
			if len(chunk) == 0 || len(chunk) > maxChunk {
				t.Fatalf("step %d: a chunk of %d", step, len(chunk))
			}
		}
		if limit := 1 + 4*len(all)/maxChunk + 2; len(list) > limit {
			t.Fatalf("step %d: %d chunks for %d elements", step, len(list), len(all))
		}
		n := 0
		for range list.first(10) {
			n++
		}
		if n != min(10, len(all)) {
			t.Fatalf("step %d: the first 10 are %d", step, n)
		}
	}
}

func TestSortedNames(t *testing.T) {
	t.Parallel()
	list := merged(nil, []string{"b", "d"})
	list = merged(list, []string{"a", "c", "e"})
	if want := []string{"a", "b", "c", "d", "e"}; !slices.Equal(list, want) {
		t.Errorf("merged: got %q, want %q", list, want)
	}
	list = separated(list, []string{"a", "d", "e"})
	if want := []string{"b", "c"}; !slices.Equal(list, want) {
		t.Errorf("separated: got %q, want %q", list, want)
	}
}
