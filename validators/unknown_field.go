package validators

import "fmt"

var unknownField = &Rule{
	Name:  "unknown-field",
	Level: Warn,
	Loses: LosesTime,
	Doc: `every field is one that the kind has, and is written once

The API server drops a field that it does not know, and kubectl refuses it: what
it was to say is not said. It is misspelt, stands in the wrong place, or belongs
to another version of Kubernetes. Of a field that is written twice only the last
one counts, and the reader of the first one is misled.`,
	Exempt: "another tool reads the field, and removes it before it is applied",
}

// UnknownField is the finding about a field that the object's kind does not have.
func UnknownField(path string) Finding {
	return unknownField.finding(path, "unknown field; the API server drops it, and kubectl refuses it",
		"write the name that the kind has, or remove it")
}

// LackedField is the finding about a field that only the version which an object is
// written in has, and the version that replaces it has not.
func LackedField(path string, r Retirement) Finding {
	return unknownField.finding(path, fmt.Sprintf("is a field of %s, and %s, which replaces it, has no such field: "+
		"the API server drops it", r.Version, r.Instead), "remove it, and write what means the same there")
}

// RepeatedField is the finding about a field that is written on two lines.
func RepeatedField(path string, first, last int) Finding {
	return unknownField.finding(path, fmt.Sprintf("must be written once; it is on lines %d and %d, and only the last "+
		"one counts", first, last), "keep one of the two")
}
