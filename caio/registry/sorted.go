package registry

import (
	"iter"
	"slices"
)

// maxChunk bounds the elements that a sortedList copies to add or remove one.
const maxChunk = 128

// A sortedList is an immutable sorted list in chunks. Changed lists share the unchanged chunks, so that a change costs
// little more than the copy of one chunk, however long the list is. No chunk is empty.
type sortedList[T any] [][]T

// first iterates over the first n elements.
func (l sortedList[T]) first(n int) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, chunk := range l {
			for i := range chunk {
				if n == 0 || !yield(&chunk[i]) {
					return
				}
				n--
			}
		}
	}
}

// with returns the list with one more element.
func (l sortedList[T]) with(one T, order func(a, b T) int) sortedList[T] {
	if len(l) == 0 {
		return sortedList[T]{{one}}
	}
	at, _ := slices.BinarySearchFunc(l, one, func(chunk []T, one T) int { return order(chunk[len(chunk)-1], one) })
	at = min(at, len(l)-1) // after the last element
	grown := inserted(l[at], one, order)
	if len(grown) <= maxChunk {
		changed := slices.Clone(l)
		changed[at] = grown
		return changed
	}
	half := len(grown) / 2
	return slices.Concat(l[:at], sortedList[T]{slices.Clone(grown[:half]), slices.Clone(grown[half:])}, l[at+1:])
}

// without returns the list without elements of it, which are sorted.
func (l sortedList[T]) without(gone []T, order func(a, b T) int) sortedList[T] {
	kept := make(sortedList[T], 0, len(l))
	for _, chunk := range l {
		if len(gone) > 0 && order(gone[0], chunk[len(chunk)-1]) <= 0 {
			rest := make([]T, 0, len(chunk)-1)
			for _, one := range chunk {
				if len(gone) > 0 && order(gone[0], one) == 0 {
					gone = gone[1:]
				} else {
					rest = append(rest, one)
				}
			}
			chunk = rest
		}
		last := len(kept) - 1
		switch {
		case len(chunk) == 0:
		case last >= 0 && len(kept[last])+len(chunk) <= maxChunk/2:
			kept[last] = slices.Concat(kept[last], chunk) // so that few chunks stay if few elements do
		default:
			kept = append(kept, chunk)
		}
	}
	return kept
}

// inserted returns a copy of the sorted list with one in its place.
func inserted[T any](list []T, one T, order func(a, b T) int) []T {
	at, _ := slices.BinarySearchFunc(list, one, order)
	return slices.Concat(list[:at], []T{one}, list[at:])
}

// merged adds sorted names to a sorted list of others, in place.
func merged(list, names []string) []string {
	end, more := len(list), len(names)
	list = slices.Grow(list, more)[:end+more]
	for more > 0 {
		at, _ := slices.BinarySearch(list[:end], names[more-1])
		copy(list[at+more:], list[at:end])
		list[at+more-1] = names[more-1]
		end, more = at, more-1
	}
	return list
}

// separated removes sorted names from a sorted list that has them, in place.
func separated(list, names []string) []string {
	kept, from := list[:0], 0
	for _, name := range names {
		at, _ := slices.BinarySearch(list[from:], name)
		kept = append(kept, list[from:from+at]...)
		from += at + 1
	}
	kept = append(kept, list[from:]...)
	clear(list[len(kept):])
	return kept
}
