//go:build unix

package perf_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A table collects one number per round for each target and column. It prints medians, and the medians
// of the ratios to the reference in the same round.
type table struct {
	reference     string // one of the rows
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
			fmt.Fprintf(&b, " %.1f (%.2f) |", median(t.cells[[2]string{row, column}]), median(t.ratios(row, column)))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// ratios compares the rounds of a row with those of the reference.
func (t *table) ratios(row, column string) []float64 {
	rounds, reference := t.cells[[2]string{row, column}], t.cells[[2]string{t.reference, column}]
	ratios := make([]float64, len(rounds))
	for i := range rounds {
		ratios[i] = math.NaN()
		if i < len(reference) {
			ratios[i] = rounds[i] / reference[i]
		}
	}
	return ratios
}

func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
