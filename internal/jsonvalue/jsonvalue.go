// Package jsonvalue compares values as JSON does.
package jsonvalue

import (
	"math"
	"reflect"
)

// Float returns a number of any Go type as float64. It reports false for other values and for NaN.
func Float(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, !math.IsNaN(v)
	case int:
		return float64(v), true
	}
	switch v := reflect.ValueOf(value); {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), !math.IsNaN(v.Float())
	}
	return 0, false
}

// Equal reports whether two values are equal. Numbers of all Go types are compared as float64.
func Equal(a, b any) bool {
	if x, ok := Float(a); ok {
		y, ok := Float(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}
