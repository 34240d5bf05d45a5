package bridge

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// checkMembers finds fields of the handler's types that only look like members of the schemas. Names are matched exactly,
// so a field Text stays empty where input_schema has "text", and an answer is refused where output_schema has.
func checkMembers(e contract.Endpoint, r *Route, faults *faults) {
	for _, side := range []struct {
		member string
		schema *contract.Schema
		typ    reflect.Type
	}{
		{"input_schema", e.InputSchema, r.request},
		{"output_schema", e.OutputSchema, r.result},
	} {
		properties, names := propertiesOf(side.schema), membersOf(side.typ)
		for _, field := range slices.Sorted(maps.Keys(names)) {
			name := names[field]
			at := slices.IndexFunc(properties, func(p string) bool { return strings.EqualFold(p, name) })
			if at < 0 || slices.Contains(properties, name) {
				continue
			}
			faults.addf("route %s: the field %s of %s is %q in JSON, but %s has %q: add the tag `json:%[6]q`",
				r.pattern, field, side.typ, name, side.member, properties[at])
		}
	}
}

// propertiesOf returns the names that a schema gives the members of an object, as far as it says so at its top.
func propertiesOf(schema *contract.Schema) (names []string) {
	var top struct {
		Properties map[string]any `json:"properties"`
	}
	text, _ := json.Marshal(schema)
	_ = json.Unmarshal(text, &top) // a schema may be a truth value, too
	for name := range top.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// membersOf returns the names in JSON of a struct's fields, by field, unless the type writes or reads its JSON itself.
func membersOf(t reflect.Type) map[string]string {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	for _, method := range []string{"UnmarshalJSON", "MarshalJSON", "UnmarshalJSONFrom", "MarshalJSONTo"} {
		if _, ok := reflect.PointerTo(t).MethodByName(method); ok {
			return nil
		}
	}
	names := map[string]string{}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported(), field.Anonymous, name == "-":
		case name == "":
			names[field.Name] = field.Name
		default:
			names[field.Name] = name
		}
	}
	return names
}
