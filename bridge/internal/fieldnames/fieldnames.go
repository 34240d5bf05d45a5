// Package fieldnames compares the JSON names of Go types with the properties of schemas.
package fieldnames

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract"
)

// A Mismatch is a field with a JSON name that differs from a property in case only.
type Mismatch struct {
	Field    string // name of the field
	Name     string // name in JSON
	Property string // name in the schema
}

// Mismatches returns the mismatches of a struct type, ordered by field. Names are matched exactly:
// a field Text would not get the member "text" of a request, and an answer with "Text" would be
// refused.
func Mismatches(schema *contract.Schema, t reflect.Type) (list []Mismatch) {
	properties, names := propertiesOf(schema), jsonNames(t)
	for _, field := range slices.Sorted(maps.Keys(names)) {
		name := names[field]
		i := slices.IndexFunc(properties, func(p string) bool { return strings.EqualFold(p, name) })
		if i >= 0 && !slices.Contains(properties, name) {
			list = append(list, Mismatch{field, name, properties[i]})
		}
	}
	return list
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

// jsonNames returns the JSON names of a struct by field, or nil for a type with its own JSON
// methods.
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
