package jsonvalue_test

import (
	"math"
	"testing"

	"github.com/smarthaus/caio-bridge-go/internal/jsonvalue"
)

func TestEqual(t *testing.T) {
	t.Parallel()
	type named int8
	for _, test := range []struct {
		a, b any
		want bool
	}{
		{1, 1.0, true}, {named(3), uint64(3), true}, {float32(0.5), 0.5, true},
		{1, 2, false}, {1, "1", false}, {1, true, false},
		{0, nil, false}, {nil, nil, true}, {"a", "a", true}, {math.NaN(), math.NaN(), false},
		{[]any{"a"}, []any{"a"}, true}, {[]any{"a"}, "a", false}, {map[string]any{"a": nil}, map[string]any{}, false},
	} {
		if got := jsonvalue.Equal(test.a, test.b); got != test.want {
			t.Errorf("Equal(%#v, %#v) = %t, want %t", test.a, test.b, got, test.want)
		}
	}
}

func TestFloat(t *testing.T) {
	t.Parallel()
	for _, value := range []any{nil, "1", true, math.NaN(), float32(math.NaN()), []any{1}} {
		if got, ok := jsonvalue.Float(value); ok {
			t.Errorf("Float(%#v) = %v, want none", value, got)
		}
	}
}
