package text_test

import (
	"strings"
	"testing"

	"github.com/smarthaus/caio-bridge-go/internal/text"
)

func TestClip(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                             "",
		strings.Repeat("a", 80):        strings.Repeat("a", 80),
		strings.Repeat("a", 81):        strings.Repeat("a", 80) + "…",
		strings.Repeat("a", 79) + "äa": strings.Repeat("a", 79) + "…",
	} {
		if got := text.Clip(s); got != want {
			t.Errorf("Clip(%q) = %q, want %q", s, got, want)
		}
	}
}
