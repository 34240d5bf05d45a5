//go:build unix && !race

package contract_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smarthaus/caio-bridge-go/contract"
	"github.com/smarthaus/caio-bridge-go/internal/costtest"
)

// checkLimit is what one check of a body may cost, whatever the body and the schema.
func checkLimit(body string) costtest.Cost {
	return costtest.Cost{CPU: 150*time.Millisecond + time.Duration(20*len(body)), Allocated: 16<<20 + 2*uint64(len(body))}
}

// bodies are made to be costly to check. want is how the check ends: "valid", "refused" or "unchecked".
func costlyBodies() map[string]struct{ schema, body, want string } {
	list := func(item string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	numbered := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	enum := func(n int) string { return `{"enum":[` + numbered(`"choice-%d",`, n) + `]}` }
	numbers := func(n int) string { return `{"enum":[` + numbered(`%d.5,`, n) + `]}` }
	branches := func(n int) string { return `{"anyOf":[` + numbered(`{"required":["a%d"]},`, n) + `]}` }
	properties := func(n int) string {
		return `{"properties":{` + numbered(`"p%d":{},`, n) + `},"required":[` + numbered(`"p%d",`, n) + `]}`
	}
	items := func(schema string) string { return `{"items":` + schema + `}` }
	mega := 1 << 20
	type hostile = struct{ schema, body, want string }
	return map[string]hostile{
		"wrong items":                       {items(`{"type":"object"}`), list("1", mega/2), "refused"},
		"wrong items, few allowed":          {`{"maxItems":50,"items":{"type":"object"}}`, list("1", mega/2), "refused"},
		"wrong items below the bound":       {items(`{"type":"object"}`), list("1", 9_990), "refused"},
		"wrong objects":                     {items(`{"properties":{"a":{}},"required":["a"],"additionalProperties":false}`), list(`{"b":1}`, mega/8), "refused"},
		"wrong objects below the bound":     {items(`{"properties":{"a":{}},"required":["a"],"additionalProperties":false}`), list(`{"b":1}`, 4_900), "refused"},
		"enum of 50":                        {`{"maxItems":50,"items":` + enum(50) + `}`, list("1", 20_000), "refused"},
		"enum of 50 below the bound":        {items(enum(50)), list("1", 9_990), "refused"},
		"enum of 200":                       {items(enum(200)), list("1", 20_000), "refused"},
		"enum of 2,500":                     {items(enum(2_500)), list("1", 1_000), "refused"},
		"enum of 2,500, right items":        {items(enum(2_500)), list(`"choice-2499"`, 70_000), "valid"},
		"enum of numbers":                   {items(numbers(2_500)), list("1", 9_990), "unchecked"},
		"enum of numbers and a format":      {items(`{"format":"date","enum":[` + numbered(`%d.5,`, 2_500) + `]}`), list("1", 9_990), "unchecked"},
		"enum of objects":                   {items(`{"enum":[` + numbered(`{"a":[1,2,%d]},`, 500) + `]}`), list(`{"a":[1,2,-1]}`, 1_900), "unchecked"},
		"branches":                          {items(branches(400)), list(`{}`, 9_990), "refused"},
		"branches, many":                    {items(branches(400)), list(`{}`, mega/3), "refused"},
		"contains":                          {`{"contains":{"const":1}}`, list("2", 300_000), "unchecked"},
		"contains below the bound":          {`{"contains":{"const":1}}`, list("2", 9_990), "refused"},
		"contains, valid":                   {`{"contains":{"const":1}}`, list("1", 255_000), "unchecked"},
		"contains, valid below the bound":   {`{"contains":{"const":1}}`, list("1", 9_990), "valid"},
		"if":                                {items(`{"if":{"type":"string"},"then":{"minLength":9}}`), list("1", 255_000), "unchecked"},
		"oneOf":                             {items(`{"oneOf":[{"type":"string"},{"type":"number"}]}`), list("1", 255_000), "unchecked"},
		"dependentRequired":                 {items(`{"dependentRequired":{"a":["b"]}}`), list(`{"a":1}`, 64_000), "unchecked"},
		"dependentRequired of many":         {items(`{"dependentRequired":{"a":[` + numbered(`"b%d",`, 2_000) + `]}}`), list(`{"a":1}`, 4_900), "unchecked"},
		"required of many":                  {items(properties(1_400)), list(`{}`, 9_990), "unchecked"},
		"properties of many":                {items(properties(60)), list(`{}`, mega/3), "refused"},
		"names of many":                     {`{"additionalProperties":false}`, "{" + numbered(`"a%d":1,`, 70_000) + "}", "refused"},
		"names of many below the bound":     {`{"additionalProperties":false}`, "{" + numbered(`"a%d":1,`, 9_990) + "}", "refused"},
		"names of many, allowed":            {`{"properties":{"x":{}},"additionalProperties":{"type":"number"}}`, "{" + numbered(`"a%d":1,`, 90_000) + "}", "valid"},
		"names, short":                      {items(properties(60) + ``), list(`{"a":1}`, mega/8), "refused"},
		"names, short, allowed":             {items(`{"properties":{` + numbered(`"p%d":{},`, 60) + `}}`), list(`{"a":1}`, mega/8), "valid"},
		"unevaluated":                       {items(`{"unevaluatedProperties":false,"anyOf":[` + numbered(`{"properties":{"a%d":{}}},`, 200) + `]}`), list(`{"b":1}`, 4_900), "unchecked"},
		"one long name":                     {`{"additionalProperties":{"contains":{"const":1}}}`, `{"` + strings.Repeat("n", 500_000) + `":` + list("2", 9_900) + `}`, "unchecked"},
		"one long name of the schema":       {`{"properties":{"` + strings.Repeat("n", 1_000) + `":{"contains":{"const":1}}}}`, `{"` + strings.Repeat("n", 1_000) + `":` + list("2", 9_900) + `}`, "unchecked"},
		"one long name, exact":              {`{"properties":{"x":{"not":{}}}}`, `{"` + strings.Repeat("n", 900_000) + `":` + list("2", 9_900) + `}`, "valid"},
		"long names for patterns":           {`{"patternProperties":{"[ab]*a[ab]{500}c":{}}}`, `{"` + strings.Repeat("a", 900_000) + `":1}`, "unchecked"},
		"names for patterns":                {`{"patternProperties":{` + numbered(`"[ab]*a[ab]{20}c%d":{},`, 20) + `},"additionalProperties":false}`, "{" + numbered(`"abaaaaaaaaaaaaaaaaaaaaaaaaaaa%d":1,`, 9_000) + "}", "unchecked"},
		"pattern, backtracking elsewhere":   {`{"pattern":"[ab]*a[ab]{900}c"}`, `"` + strings.Repeat("ab", 50_000) + `"`, "unchecked"},
		"pattern, wide":                     {`{"pattern":"(.{0,900}a){1}b$"}`, `"` + strings.Repeat("a", 100_000) + `"`, "unchecked"},
		"pattern, one mega":                 {`{"pattern":"\\S"}`, `"` + strings.Repeat(" ", mega) + `"`, "refused"},
		"pattern, many texts":               {items(`{"pattern":"[ab]*a[ab]{100}c"}`), list(`"`+strings.Repeat("ab", 500)+`"`, 9_000), "unchecked"},
		"pattern, escapes":                  {`{"pattern":"^\\S*$"}`, `"` + strings.Repeat(`\n`, mega/2) + `"`, "refused"},
		"pattern and a format":              {`{"pattern":"[ab]*a[ab]{900}c","format":"date"}`, `"` + strings.Repeat("ab", 50_000) + `"`, "unchecked"},
		"format regex":                      {items(`{"format":"regex"}`), list(`"(`+strings.Repeat("a?", 240)+`){1000}"`, 2_000), "unchecked"},
		"format regex, one":                 {`{"format":"regex"}`, `"(` + strings.Repeat("a?", 250) + `){1000}"`, "valid"},
		"format regex, long":                {`{"format":"regex"}`, `"` + strings.Repeat(`\\pL`, 200_000) + `"`, "refused"},
		"formats":                           {items(`{"format":"email"}`), list(`"`+strings.Repeat("a.", 50)+`"`, 9_990), "refused"},
		"equal items":                       {`{"uniqueItems":true}`, list("1", 255_000), "unchecked"},
		"unique items that collide":         {`{"uniqueItems":true}`, "[" + colliding(12) + "]", "unchecked"},
		"unique items":                      {`{"uniqueItems":true}`, "[" + numbered(`"item %d",`, 9_900) + "]", "valid"},
		"extreme numbers":                   {items(`{"multipleOf":0.01,"exclusiveMinimum":1e-300,"maximum":1e300}`), list("1e308", 9_990), "unchecked"},
		"extreme numbers, many":             {items(`{"multipleOf":0.01}`), list("1e308", mega/6), "unchecked"},
		"exponents":                         {items(`{"type":"number"}`), list("1e9", mega/4), "valid"},
		"deep":                              {`{"items":{"$ref":"#"},"type":"array"}`, list(strings.Repeat("[", 60)+"1"+strings.Repeat("]", 60), 150), "refused"},
		"deep, entangled":                   {`{"anyOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"},"minItems":9}]}`, list(strings.Repeat("[", 10)+"1"+strings.Repeat("]", 10), 900), "valid"},
		"deep, entangled, wrong":            {`{"type":"array","anyOf":[{"items":{"$ref":"#"},"minItems":8},{"items":{"$ref":"#"},"minItems":9}]}`, list(strings.Repeat("[", 10)+"1"+strings.Repeat("]", 10), 900), "unchecked"},
		"read again and again":              {`{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"items":{"type":"number"}},`, 400), ",") + `]}`, list("1", mega/2), "unchecked"},
		"propertyNames":                     {`{"propertyNames":{"maxLength":1}}`, "{" + numbered(`"a%d":1,`, 9_900) + "}", "refused"},
		"not JSON at the end":               {items(`{"type":"number"}`), "[" + strings.Repeat("1,", mega/2), "refused"},
		"the same name twice at the end":    {`{}`, "{" + numbered(`"a%d":1,`, 70_000) + `,"a0":1}`, "refused"},
		"a name in another case at the end": {`{"properties":{"a0":{}}}`, "{" + numbered(`"a%d":1,`, 70_000) + `,"A0":1}`, "unchecked"},
	}
}

// colliding returns 2^n lists that the engine hashes alike: a text with a byte 3 is the same as two texts there.
func colliding(n int) string {
	texts := make([]string, 1<<n)
	for i := range texts {
		var b strings.Builder
		b.WriteString(`["x`)
		for bit := range n {
			if i&(1<<bit) != 0 {
				b.WriteString(`\u0003x`)
			} else {
				b.WriteString(`","x`)
			}
		}
		b.WriteString(`"]`)
		texts[i] = b.String()
	}
	return strings.Join(texts, ",")
}

// Whatever the body and the schema: a check is bounded in time and memory, whether it accepts or refuses.
func TestCostOfChecks(t *testing.T) {
	all := costlyBodies()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := all[name]
		s := compile(t, c.schema)
		if err := s.Compile(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Run(name, func(t *testing.T) {
			var err error
			cost := costtest.AtMost(t, checkLimit(c.body), func() { err = s.ValidateRequest([]byte(c.body)) })
			got := "refused"
			switch err.(type) {
			case nil:
				got = "valid"
			case *contract.CostError:
				got = "unchecked"
			}
			if got != c.want {
				t.Errorf("got %s, want %s: %.300v", got, c.want, err)
			}
			t.Logf("%d bytes: %v, %d KiB, %s", len(c.body), cost.CPU, cost.Allocated>>10, got)
		})
	}
}

// loadLimit is what loading a contract of at most 256 KiB may cost, whatever it contains.
var loadLimit = costtest.Cost{CPU: 500 * time.Millisecond, Allocated: 64 << 20}

// costlyContracts are as large as contracts may be and made to be costly to load. Some are accepted.
func costlyContracts() map[string]string {
	const size = 246 << 10
	many := func(format string, most int) string {
		var b strings.Builder
		for i := 0; b.Len()+len(format) < size && i < most; i++ {
			b.WriteString(strings.ReplaceAll(format, "#", fmt.Sprint(i)))
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	endpoints := func(schema string, most int) string {
		return `{"service": {"id": "x", "name": "X", "version": "1.0.0", "capabilities": [{"type": "x"}], "api": {"protocol": "http",
			"base_url": "http://127.0.0.1:1", "endpoints": [` + many(`{"path":"/x#","method":"POST","input_schema":`+schema+`,"output_schema":`+schema+`},`, most) + `]}}}`
	}
	with := func(members string) string {
		return `{"service": {"id": "x", "name": "X", "version": "1.0.0", "capabilities": [{"type": "x"}], "api": {"protocol": "http",
			"base_url": "http://127.0.0.1:1", "endpoints": [{"path":"/x","method":"POST"}]}, ` + members + `}}`
	}
	anyOf := func(branch string, n int) string { return `{"anyOf":[` + many(branch+",", n) + `]}` }
	chain := `"0":{"type":"string"},` + many(`"c#":{"allOf":[{"$ref":"#/$defs/0"},{"$ref":"#/$defs/0"}]},`, 400)
	all := map[string]string{
		"patterns that are accepted":     endpoints(anyOf(`{"pattern":"[a-z]{90#}"}`, 6), 190),
		"patterns that grow":             endpoints(anyOf(`{"pattern":"(`+strings.Repeat("a?", 250)+`){1000}"}`, 220), 1),
		"patterns that grow, in many":    endpoints(`{"pattern":"(`+strings.Repeat("a?", 250)+`){1000}"}`, 200),
		"patterns of letters":            endpoints(anyOf(`{"pattern":"`+strings.Repeat(`\\pL\\PN`, 70)+`"}`, 150), 1),
		"patterns of letters, any case":  endpoints(anyOf(`{"pattern":"(?i)`+strings.Repeat(`[^\\pLk]`, 60)+`"}`, 220), 1),
		"patterns just small enough":     endpoints(`{"pattern":"[ab]*a[ab]{900}c#"}`, 500),
		"patterns for names":             endpoints(`{"patternProperties":{`+many(`"(a?){90}#":{},`, 20)+`},"additionalProperties":false,"required":[`+many(`"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa#",`, 2_900)+`]}`, 1),
		"small schemas":                  endpoints(`{"type":"object","properties":{"a":{"type":"string"}}}`, 500),
		"schemas of many values":         endpoints(`{"enum":[`+many("#,", 2_900)+`]}`, 40),
		"schemas of many properties":     endpoints(`{"properties":{`+many(`"p#":{},`, 1_400)+`}}`, 40),
		"wrong keywords":                 endpoints(`{"properties":{`+many(`"p#":{"minLength":"x","type":"y"},`, 500)+`}}`, 40),
		"unknown keywords":               endpoints(`{`+many(`"k#":1,`, 2_900)+`}`, 40),
		"references that lead nowhere":   endpoints(`{"properties":{`+many(`"p#":{"$ref":"#/$defs/q#"},`, 700)+`},"$defs":{`+many(`"r#":{},`, 700)+`}}`, 40),
		"references":                     endpoints(`{"properties":{`+many(`"p#":{"$ref":"#/$defs/r#"},`, 700)+`},"$defs":{`+many(`"r#":{},`, 700)+`}}`, 40),
		"references to one of many":      endpoints(`{"allOf":[`+many(`{"$ref":"#/$defs/a"},`, 400)+`],"$defs":{"a":{"properties":{`+many(`"p#":{"$ref":"#"},`, 400)+`}}}}`, 40),
		"references that entangle":       endpoints(`{"properties":{`+many(`"p#":{"$ref":"#/$defs/all"},`, 400)+`},"$defs":{"all":{"anyOf":[`+many(`{"properties":{"a#":{"$ref":"#/$defs/all"}}},`, 400)+`]}}}`, 40),
		"chains":                         endpoints(`{"$ref":"#/$defs/c0","$defs":{`+chain+`}}`, 40),
		"deep schemas":                   endpoints(strings.Repeat(`{"items":`, 60)+`{}`+strings.Repeat(`}`, 60), 400),
		"examples":                       endpoints(`{"properties":{`+many(`"p#":{"type":"string","examples":[1,2,3]},`, 250)+`}}`, 40),
		"examples in definitions":        endpoints(`{"properties":{`+many(`"p#":{"$ref":"#/$defs/a","default":1},`, 250)+`},"$defs":{"a":{"type":"string"}}}`, 40),
		"a large example":                endpoints(`{"items":{"enum":[1,2,3]},"default":[`+many("4,", 2_000)+`]}`, 40),
		"required of many":               endpoints(`{"properties":{`+many(`"p#":{},`, 700)+`},"additionalProperties":false,"required":[`+many(`"q#",`, 700)+`]}`, 40),
		"an extension":                   with(`"x-a": [` + many("1,", size) + `]`),
		"an extension of objects":        with(`"x-a": [` + many("{},", size) + `]`),
		"an extension of names":          with(`"x-a": {` + many(`"k#":1,`, size) + `}`),
		"a deep extension":               with(`"x-a": [` + many(strings.Repeat("[", 90)+strings.Repeat("]", 90)+",", size) + `]`),
		"metadata":                       with(`"metadata": {"tags": [` + many(`"t#",`, size) + `]}`),
		"metadata of any kind":           with(`"metadata": {` + many(`"k#":{"a":[1,2]},`, size) + `}`),
		"parameters of a capability":     strings.Replace(with(`"x-a":1`), `{"type": "x"}`, `{"type":"x","parameters":{`+many(`"k#":[1,2],`, size)+`}}`, 1),
		"capabilities":                   strings.Replace(with(`"x-a":1`), `{"type": "x"}`, many(`{"type":"x#","accuracy":{"min":2,"target":1}},`, size), 1),
		"wrong capabilities":             strings.Replace(with(`"x-a":1`), `{"type": "x"}`, many(`{"typ":"x#","accuracy":{"min":"2","target":[]}},`, size), 1),
		"guarantees":                     with(`"guarantees": {` + many(`"g#":{"property":"p95_latency_ms","bound":{"max":#}},`, size) + `}`),
		"guarantees in lists":            with(`"guarantees": {"latency": [` + many(`{"property":"p95_latency_ms","bound":{"max":#}},`, size) + `]}`),
		"wrong guarantees":               with(`"guarantees": {` + many(`"g#":{"bound":{"min":"x","max":"y"}},`, size) + `}`),
		"invariants":                     with(`"invariants": [` + many(`{"id":"INV-#","description":"d"},`, size) + `]`),
		"invariants, all the same":       with(`"invariants": [` + many(`{"id":"INV-1","description":"d"},`, size) + `]`),
		"constraints":                    with(`"constraints": {` + many(`"max_context_token#":1,`, size) + `}`),
		"cost":                           with(`"cost": {"model":"free",` + many(`"per_toke#":1,`, size) + `}`),
		"endpoints with long paths":      endpoints(`{}`, 1)[:0] + strings.Replace(with(`"x-a":1`), `{"path":"/x","method":"POST"}`, many(`{"path":"/`+strings.Repeat("{a}/", 60)+`#","method":"GET"},`, size), 1),
		"endpoints that are the same":    strings.Replace(with(`"x-a":1`), `{"path":"/x","method":"POST"}`, many(`{"path":"/x","method":"GET"},`, size), 1),
		"endpoints, parameters":          strings.Replace(with(`"x-a":1`), `{"path":"/x","method":"POST"}`, many(`{"path":"/x/{a}/#","method":"GET"},`, 500), 1),
		"unknown members":                with(many(`"k#":1,`, size)),
		"members nearly known":           with(many(`"metadat#":1,`, size)),
		"a long text":                    with(`"description": "` + strings.Repeat("x", size) + `"`),
		"a long text of other letters":   with(`"description": "` + strings.Repeat("é", size/2) + `"`),
		"long names":                     with(`"x-a": {"` + strings.Repeat("k", size/2) + `":{"` + strings.Repeat("k", size/3) + `":1}}`),
		"long names in deep extensions":  with(`"x-a": ` + strings.Repeat(`{"`+strings.Repeat("k", 3_500)+`":`, 70) + "1" + strings.Repeat("}", 70)),
		"long names around wrong values": with(`"metadata": {"` + strings.Repeat("k", 100_000) + `":{"tags":[` + many("1,", 50_000) + `]}}`),
	}
	for name, text := range hostileFiles() {
		all["file: "+name] = text
	}
	for name, c := range refusedContracts() {
		all["hazard: "+name] = c.text
	}
	return all
}

// A contract costs a small multiple of its text, whether it is accepted or refused.
func TestCostOfContracts(t *testing.T) {
	all := costlyContracts()
	_, _ = contract.Parse("warm.yaml", []byte(plain))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			if len(all[name]) < 1_000 && !strings.HasPrefix(name, "hazard: ") {
				t.Fatalf("got a contract of %d bytes, want a large one", len(all[name]))
			}
			var err error
			cost := costtest.AtMost(t, loadLimit, func() { _, err = contract.Parse("costly", []byte(all[name])) })
			verdict := "accepted"
			if found, ok := err.(contract.Diagnostics); ok {
				verdict = fmt.Sprintf("%d diagnostics: %s", len(found), found[0].Code)
			}
			t.Logf("%d KB: %v, %d KiB, %s", len(all[name])>>10, cost.CPU, cost.Allocated>>10, verdict)
		})
	}
}

// Comparing two versions of a contract costs little more than loading them.
func TestCostOfDiff(t *testing.T) {
	change := strings.NewReplacer(`"properties":{"p0"`, `"properties":{"q":{"type":"number"},"p0"`, `{"enum":[0,`, `{"enum":[-1,0,`,
		`"pattern":"[`, `"pattern":"x[`, `"type":"string"`, `"type":["string","null"]`, `{"items":{}}`, `{"items":{"type":"null"}}`,
		`"1.0.0"`, `"1.1.0"`)
	for name, text := range costlyContracts() {
		before, err := contract.Parse("before", []byte(text))
		if err != nil {
			continue
		}
		after, err := contract.Parse("after", []byte(change.Replace(text)))
		if err != nil {
			t.Errorf("%s, changed: %v", name, err)
			continue
		}
		t.Run(name, func(t *testing.T) {
			limit := costtest.Cost{CPU: 500 * time.Millisecond, Allocated: 128 << 20}
			cost := costtest.AtMost(t, limit, func() { contract.Diff(before, after) })
			t.Logf("%v, %d KiB", cost.CPU, cost.Allocated>>10)
		})
	}
}
