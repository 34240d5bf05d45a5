package jsonschema

import (
	"encoding/json"
	"math"
	"regexp/syntax"
	"slices"
	"strings"
)

// Limits of one check of a value.
const (
	// DefaultMaxValues is how many JSON values of one text reach the engine.
	DefaultMaxValues = 10_000

	// MaxPrice bounds the engine's work on one value: bytes that it allocates at most.
	MaxPrice = 14 << 20

	// maxMatching bounds the work of regular expressions: instructions times bytes of text. Go's
	// regexp needs at most 10 ns for each.
	maxMatching = 8 << 20
)

// A pricer estimates the engine's work on a value: the bytes that it allocates at most, at 10 ns
// each. The prices were measured with values that every schema refuses.
//
// The engine looks at a value once for each schema that applies to it. It tries all branches of
// anyOf, copies the path of the value at each level, and puts the path of keywords together anew,
// from its parts, for each error.
type pricer struct {
	root  *priced
	known map[string]*priced // by $ref
}

// A priced is one schema.
type priced struct {
	path int // bytes of the way from the schema's root
	last int // bytes of the last keyword and name of the way that leads here at run time

	look      int // for any value
	text      int // for a text, per byte
	number    int // for a number
	object    int // for an object
	name      int // for an object, per byte of its members' names
	unique    bool
	regex     bool // the text is parsed as a regular expression
	constants []any

	inPlace    []*priced
	properties map[string]*priced
	anyMember  []*priced // patternProperties, and unevaluatedProperties
	others     *priced   // additionalProperties
	names      *priced
	prefix     []*priced
	items      *priced
	everyItem  []*priced // contains and unevaluatedItems
}

const (
	lookPrice    = 320 // a call for one schema and one value
	errorPrice   = 350 // an error, without its paths
	numberPrice  = 250 // a big.Rat
	comparePrice = 320 // comparing two numbers
	mapPrice     = 250 // the engine's map of unevaluated members or items
	memberPrice  = 90  // an entry of that map
)

func newPricer(document any) *pricer {
	p := &pricer{known: map[string]*priced{}}
	p.root = p.schema(document, document, 0, 0)
	return p
}

// schema prices a schema and its subschemas. path is the length of the parent's location, last the
// length of the part that leads from there to the schema.
func (p *pricer) schema(document, schema any, path, last int) *priced {
	path += last
	s, ok := schema.(map[string]any)
	n := &priced{path: path, last: last, look: lookPrice}
	if schema == false || len(s) > 0 {
		n.look += errorPrice
	}
	if !ok || len(s) == 0 {
		return n
	}
	one := func(keyword string) *priced {
		if inner, stated := s[keyword]; stated {
			return p.schema(document, inner, path, len(keyword)+1)
		}
		return nil
	}
	list := func(keyword string) (all []*priced) {
		branches, _ := s[keyword].([]any)
		for _, inner := range branches {
			all = append(all, p.schema(document, inner, path, len(keyword)+6))
		}
		return all
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		n.inPlace = append(n.inPlace, list(keyword)...)
	}
	for _, keyword := range []string{"not", "if", "then", "else"} {
		if inner := one(keyword); inner != nil {
			n.inPlace = append(n.inPlace, inner)
		}
	}
	for _, keyword := range []string{"dependentSchemas", "dependencies"} {
		dependent, _ := s[keyword].(map[string]any)
		for name, inner := range dependent {
			if names, ok := inner.([]any); ok {
				n.object += len(names) * errorPrice
				continue
			}
			n.inPlace = append(n.inPlace, p.schema(document, inner, path, len(keyword)+3*len(name)+2))
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		n.inPlace = append(n.inPlace, p.reference(document, ref))
	}
	p.ofObjects(document, n, s)
	n.prefix, n.items = list("prefixItems"), one("items")
	for _, keyword := range []string{"contains", "unevaluatedItems"} {
		if inner := one(keyword); inner != nil {
			n.everyItem = append(n.everyItem, inner)
		}
	}
	n.unique = s["uniqueItems"] == true
	n.ofScalars(s)
	return n
}

func (p *pricer) reference(document any, ref string) *priced {
	if n, known := p.known[ref]; known {
		return n
	}
	n := &priced{}
	p.known[ref] = n
	*n = *p.schema(document, find(document, tokens(strings.TrimPrefix(ref, "#"))), len(ref), 0)
	n.last = len("/$ref")
	return n
}

// ofObjects prices the keywords for objects and their members.
func (p *pricer) ofObjects(document any, n *priced, s map[string]any) {
	n.name = 6
	properties, _ := s["properties"].(map[string]any)
	n.properties = make(map[string]*priced, len(properties))
	for name, inner := range properties {
		n.properties[name] = p.schema(document, inner, n.path, len("/properties/")+3*len(name))
	}
	n.object = 8 * len(properties)
	patterns, _ := s["patternProperties"].(map[string]any)
	for pattern, inner := range patterns {
		n.anyMember = append(n.anyMember, p.schema(document, inner, n.path, len("/patternProperties/")+3*len(pattern)))
		n.name += 2 + sizeOf(pattern)
	}
	for _, name := range texts(s["required"]) {
		n.object += 4*len(name) + 32
	}
	dependent, _ := s["dependentRequired"].(map[string]any)
	for _, names := range dependent {
		n.object += len(texts(names)) * errorPrice
	}
	if inner, stated := s["additionalProperties"]; stated && inner != true {
		n.others = p.schema(document, inner, n.path, len("/additionalProperties"))
	}
	if inner, stated := s["unevaluatedProperties"]; stated && inner != true {
		n.anyMember = append(n.anyMember, p.schema(document, inner, n.path, len("/unevaluatedProperties")))
	}
	if inner, stated := s["propertyNames"]; stated {
		n.names = p.schema(document, inner, n.path, len("/propertyNames"))
	}
}

// ofScalars prices the keywords for texts, numbers and constants.
func (n *priced) ofScalars(s map[string]any) {
	if pattern, ok := s["pattern"].(string); ok {
		n.text += 2 + sizeOf(pattern)
		n.look += 80
	}
	if _, ok := s["format"]; ok {
		n.text += 4
		n.look += 220
		n.regex = s["format"] == "regex"
	}
	for _, keyword := range []string{"minLength", "maxLength"} {
		if _, ok := s[keyword]; ok {
			n.text++
		}
	}
	if slices.Contains(append(texts(s["type"]), text(s["type"])), "integer") {
		n.number += numberPrice
	}
	for _, keyword := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"} {
		if limit, ok := s[keyword].(float64); ok {
			n.number += numberPrice * digits(limit)
		}
	}
	n.constants, _ = s["enum"].([]any)
	if constant, ok := s["const"]; ok {
		n.constants = append(n.constants[:len(n.constants):len(n.constants)], constant)
	}
	if len(n.constants) > 0 {
		encoded, _ := json.Marshal(n.constants)
		n.look += 2*len(encoded) + 8*len(n.constants) // the engine's error names all of them
	}
}

// sizeOf returns the instructions of a pattern that the gate let through.
func sizeOf(pattern string) int {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return maxPatternSize
	}
	return patternSize(parsed)
}

// A bill adds up the price of one check, and stops at the limit.
type bill struct{ left int }

// affordable reports if the engine may check the value for at most that price.
func (p *pricer) affordable(value any, most int) bool {
	b := bill{left: most}
	return b.add(p.root, value, place{})
}

// A place has the bytes of the value's pointer and of the keywords' location, and the keywords'
// number.
type place struct{ value, keywords, steps int }

// add charges for the value and reports if the bill is still within the limit.
func (b *bill) add(n *priced, value any, at place) bool {
	at.keywords += n.last
	at.steps++
	if b.left -= n.look + 2*at.value + n.path + at.keywords*(at.steps+2)/2; b.left < 0 {
		return false
	}
	for _, inner := range n.inPlace {
		if !b.add(inner, value, at) {
			return false
		}
	}
	switch v := value.(type) {
	case string:
		b.left -= n.text * len(v)
		if n.regex { // character classes of some KB, for three bytes
			b.left -= 2_000 * min(len(v), maxPattern)
		}
	case float64:
		b.left -= n.number * digits(v)
		for _, constant := range n.constants {
			if c, ok := constant.(float64); ok {
				b.left -= comparePrice * max(digits(c), digits(v))
			}
		}
	case map[string]any:
		return b.addObject(n, v, at)
	case []any:
		return b.addList(n, v, at)
	}
	return b.left >= 0
}

func (b *bill) addObject(n *priced, v map[string]any, at place) bool {
	b.left -= mapPrice + n.object + memberPrice*len(v) + n.containers(len(v))
	for name, value := range v {
		if b.left -= n.name * (len(name) + 1); b.left < 0 {
			return false
		}
		at := place{at.value + 3*len(name) + 1, at.keywords, at.steps}
		inner, named := n.properties[name]
		if named && !b.add(inner, value, at) || n.names != nil && !b.add(n.names, name, at) {
			return false
		}
		if !named && n.others != nil && !b.add(n.others, value, at) {
			return false
		}
		for _, inner := range n.anyMember {
			if !b.add(inner, value, at) {
				return false
			}
		}
	}
	return b.left >= 0
}

func (b *bill) addList(n *priced, v []any, at place) bool {
	b.left -= mapPrice + memberPrice*len(v) + n.containers(len(v))
	if n.unique {
		b.left -= uniquePrice(v)
	}
	at.value += 7
	for i, item := range v {
		inner := n.items
		if i < len(n.prefix) {
			inner = n.prefix[i]
		}
		if inner != nil && !b.add(inner, item, at) {
			return false
		}
		for _, inner := range n.everyItem {
			if !b.add(inner, item, at) {
				return false
			}
		}
	}
	return b.left >= 0
}

// containers prices the comparison of a list or object of the size with constants.
func (n *priced) containers(size int) (price int) {
	for _, constant := range n.constants {
		switch c := constant.(type) {
		case []any:
			if len(c) == size {
				price += comparePrice * count(c)
			}
		case map[string]any:
			if len(c) == size {
				price += comparePrice * count(c)
			}
		}
	}
	return price
}

// count returns the number of values in value, value included.
func count(value any) int {
	n := 1
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			n += count(item)
		}
	case map[string]any:
		for _, member := range v {
			n += count(member)
		}
	}
	return n
}

// digits returns by how much a number costs more than a small one: the engine writes all digits of
// 1e308.
func digits(f float64) int {
	if f = math.Abs(f); f == 0 || f > 1e-20 && f < 1e20 {
		return 1
	}
	return 5
}

// uniquePrice prices the search for equal items. The engine compares items with equal hashes. Its
// hash joins texts without their lengths, so a sender can make lists of texts with control
// characters collide.
func uniquePrice(list []any) int {
	size, collides := 0, false
	for _, item := range list {
		size += count(item)
		switch item.(type) {
		case []any, map[string]any:
			collides = collides || hasControls(item)
		}
	}
	price := numberPrice * size
	if collides || len(list) <= 20 {
		price += 4 * len(list) * size
	}
	return price
}

func hasControls(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.ContainsFunc(v, func(r rune) bool { return r < ' ' })
	case []any:
		for _, item := range v {
			if hasControls(item) {
				return true
			}
		}
	case map[string]any:
		for name, member := range v {
			if hasControls(name) || hasControls(member) {
				return true
			}
		}
	}
	return false
}
