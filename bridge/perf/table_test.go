//go:build unix

package perf_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A table collects one number per round for each target and column. It prints medians, and how the rounds compare with
// the same rounds of the reverse proxy, at the median.
type table struct {
	rows, columns []string
	cells         map[[2]string][]float64 // rounds by row and column
}

func (t *table) add(row, column string, value float64) {
	if t.cells == nil {
		t.cells = map[[2]string][]float64{}
	}
	if !slices.Contains(t.rows, row) {
		t.rows = append(t.rows, row)
	}
	if !slices.Contains(t.columns, column) {
		t.columns = append(t.columns, column)
	}
	t.cells[[2]string{row, column}] = append(t.cells[[2]string{row, column}], value)
}

func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| target | %s |\n|%s\n", strings.Join(t.columns, " | "), strings.Repeat(" --- |", len(t.columns)+1))
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, column := range t.columns {
			rounds, reference := t.cells[[2]string{row, column}], t.cells[[2]string{proxy, column}]
			ratios := make([]float64, len(rounds))
			for i := range rounds {
				ratios[i] = rounds[i] / reference[i]
			}
			fmt.Fprintf(&b, " %.1f (%.2f) |", median(rounds), median(ratios))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
