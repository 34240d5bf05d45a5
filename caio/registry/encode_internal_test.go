package registry

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What is written directly is what encoding/json and a canonicalizer make of it.
func TestAppendCanonical(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 12))
	for range 2000 {
		value := randomValue(random, 4)
		want, wantErr := canonical(value)
		got, err := appendCanonical([]byte("before:"), value)
		if (err == nil) != (wantErr == nil) || err == nil && string(got) != "before:"+string(want) {
			t.Fatalf("%#v:\ngot  %s, %v\nwant %s, %v", value, got, err, want, wantErr)
		}
	}
	itself := map[string]any{}
	itself["itself"] = []any{itself}
	if _, err := appendCanonical(nil, itself); err == nil {
		t.Error("a map that contains itself should be refused")
	}
}

func randomValue(random *rand.Rand, depth int) any {
	texts := []string{"", "a", "Z", "é", "\u2028<&>", "\xff", "\U0001F600", "\uFFFF", "a\tb\x00", "aa", `"\`}
	text := func() string { return texts[random.IntN(len(texts))] }
	switch random.IntN(12) {
	case 0:
		return nil
	case 1:
		return random.IntN(2) == 0
	case 2:
		return random.NormFloat64() * math.Pow(10, float64(random.IntN(50)-25))
	case 3:
		return []any{0.0, math.Copysign(0, -1), 1e21, 1e-7, math.MaxFloat64, 5e-324, 100.0}[random.IntN(7)]
	case 4:
		return random.Int() >> random.IntN(64)
	case 5:
		return []any{math.NaN(), math.Inf(1), float32(0.1), uint64(math.MaxUint64), []string(nil), map[string]any(nil), []any(nil), struct{ A int }{3}}[random.IntN(8)]
	case 6:
		return []string{text(), text()}
	case 7, 8:
		if depth > 0 {
			list := make([]any, random.IntN(4))
			for i := range list {
				list[i] = randomValue(random, depth-1)
			}
			return list
		}
	case 9, 10:
		if depth > 0 {
			object := map[string]any{}
			for range random.IntN(20) * random.IntN(2) {
				object[text()+text()] = randomValue(random, depth-1)
			}
			return object
		}
	}
	return text()
}
