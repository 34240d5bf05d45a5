package bridge

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// checkFieldNames finds JSON names of the handler's types that differ from the schemas in case only.
// Names are matched exactly: a field Text would not get the member "text" of a request, and the bridge
// would refuse an answer with "Text".
func checkFieldNames(e contract.Endpoint, r *Route, problems *problems) {
	for _, side := range []struct {
		member string
		schema *contract.Schema
		typ    reflect.Type
	}{
		{"input_schema", e.InputSchema, r.request},
		{"output_schema", e.OutputSchema, r.result},
	} {
		properties, names := propertiesOf(side.schema), jsonNames(side.typ)
		for _, field := range slices.Sorted(maps.Keys(names)) {
			name := names[field]
			at := slices.IndexFunc(properties, func(p string) bool { return strings.EqualFold(p, name) })
			if at < 0 || slices.Contains(properties, name) {
				continue
			}
			problems.addf("route %s: the field %s of %s is %q in JSON, but %s has %q: add the tag `json:%[6]q`",
				r.pattern, field, side.typ, name, side.member, properties[at])
		}
	}
}

// propertiesOf returns the properties at the top of a schema.
func propertiesOf(schema *contract.Schema) (names []string) {
	var top struct {
		Properties map[string]any `json:"properties"`
	}
	text, _ := json.Marshal(schema)
	_ = json.Unmarshal(text, &top) // true and false are schemas, too
	for name := range top.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// jsonNames returns the JSON names of a struct by field, or nil for a type with its own JSON methods.
func jsonNames(t reflect.Type) map[string]string {
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
