package codex_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/smarthaus/caio-bridge-go/internal/costtest"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

// pieces cuts text into pieces of these lengths, and the rest.
func pieces(text string, cuts []byte) []string {
	var list []string
	for _, n := range cuts {
		at := min(int(n), len(text))
		list = append(list, text[:at])
		text = text[at:]
	}
	return append(list, text)
}

func TestMembersArriveAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	pieces := []string{ // cut inside a name, an escape, a surrogate pair and a character of two bytes
		`{"language":"go","co`, `de":"a\u0`, `0e9 \ud83d`,
		`\ude00\n\"q\"\\","n":[1,{"code":"inner"}],"explanation":"` + "\xc3", "\xa9" + `!"}`,
	}
	var got []string
	emit := func(name, text string) error {
		got = append(got, name+"="+text)
		return nil
	}
	if err := codex.ReadMembers(pieces, emit); err != nil {
		t.Fatal(err)
	}
	want := []string{"language=go", "code=a", "code=é ", "code=😀\n\"q\"\\", "explanation=é!"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("emitted (-want +got):\n%s", diff)
	}
}

func TestMembersReturnTheErrorOfEmit(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	err := codex.ReadMembers([]string{`{"code":"x`, `y"}`}, func(string, string) error { return gone })
	if !errors.Is(err, gone) {
		t.Errorf("error = %v, want the error of emit", err)
	}
}

// FuzzMembers checks that a member's emitted texts, joined, are its value, for all divisions into
// pieces.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{"code":"a\u00e9\ud83d\ude00\n","language":"go","explanation":"x"}`,
		`{"code":"\ud800 \ud800\ud83d\ude00 \udc00 \ud83dx","a":{"code":"no","b":["}","]"]},"c":-1.5e3 , "d" : "\"\\\/\b\f\r\t"}`,
		`{}`, ` { "" : "" } `, `[1]`, `"code"`, `{"code":null,"c":"日本語"}`, `{"c":"1","c":"2"}`, `{"c`, `{"c":"\uZZ`,
	} {
		f.Add(seed, []byte{1, 2, 3, 5, 8, 13})
		f.Add(seed, []byte{})
	}
	f.Fuzz(func(t *testing.T, text string, cuts []byte) {
		defer costtest.AllocatesAtMost(t, 16<<20)()
		got := map[string]string{}
		if err := codex.ReadMembers(pieces(text, cuts), func(name, piece string) error {
			if !utf8.ValidString(piece) || piece == "" {
				t.Fatalf("emitted %q", piece)
			}
			got[name] += piece
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if want, ok := topLevelTexts(text); ok && utf8.ValidString(text) && !maps.Equal(got, want) {
			t.Errorf("members of %q cut at %v (-want +got):\n%s", text, cuts, cmp.Diff(want, got))
		}
	})
}

// topLevelTexts decodes an object's string members with encoding/json. It joins the texts of
// repeated names, and omits empty texts, because streamingMembers emits none.
func topLevelTexts(text string) (map[string]string, bool) {
	if !json.Valid([]byte(text)) || !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
		return nil, false
	}
	texts := map[string]string{}
	d := json.NewDecoder(strings.NewReader(text))
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, false
		}
		if s, ok := value.(string); ok {
			texts[name.(string)] += s
		}
	}
	for _, name := range slices.Collect(maps.Keys(texts)) {
		if texts[name] == "" {
			delete(texts, name)
		}
	}
	return texts, true
}
