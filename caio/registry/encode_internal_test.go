package registry

import (
	"math"
	"testing"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	value := map[string]any{
		"Z": "<&>\u2028\x7f\xff", "a": []any{0.0, math.Copysign(0, -1), 1e21, 1e-7, 0.00001, math.MaxFloat64, 5e-324, 100, nil, true},
		"\U0001F600": []string(nil), "\uFFFF": map[string]any(nil), "b": float32(0.5), "c": uint64(math.MaxUint64),
	}
	const want = `{"Z":"<&>` + "\u2028\x7f\uFFFD" + `","a":[0,0,1e+21,1e-7,0.00001,1.7976931348623157e+308,5e-324,100,null,true],` +
		`"b":0.5,"c":18446744073709552000,"` + "\U0001F600" + `":null,"` + "\uFFFF" + `":null}`
	got, err := canonical(value)
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	itself := map[string]any{}
	itself["itself"] = []any{itself}
	for _, wrong := range []any{math.NaN(), []any{math.Inf(1)}, itself} {
		if _, err := canonical(wrong); err == nil {
			t.Error("not JSON, but no error")
		}
	}
}
