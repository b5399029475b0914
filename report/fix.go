package report

// A Fix corrects a finding in the files of the manifests.
type Fix struct {
	// Changes must be made together. There are none if the place in the file is
	// not certain, or if the field can be set on new objects only.
	Changes []Replacement `json:"changes,omitempty"`

	// Unwritten says why lint --fix does not write the changes. It is empty if it
	// does.
	Unwritten string `json:"unwritten,omitempty"`
}

// A Replacement is a part of a file, and the text that replaces it. Lines and
// columns count from 1, in characters; the end is behind the last character.
type Replacement struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"endLine"`
	EndColumn int    `json:"endColumn"`
	Text      string `json:"text"`
}
