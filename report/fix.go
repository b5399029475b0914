package report

// A Fix is how a finding is mended in the files of manifests.
type Fix struct {
	// Changes are to be made together. There are none where the place in the
	// file is not certain, or the field is one of new objects alone.
	Changes []Replacement `json:"changes,omitempty"`

	// Unwritten says why lint --fix does not write them, or is empty.
	Unwritten string `json:"unwritten,omitempty"`
}

// A Replacement is a part of a file, and what is to stand there instead. Lines
// and columns count from 1, in characters; the end is behind the last.
type Replacement struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"endLine"`
	EndColumn int    `json:"endColumn"`
	Text      string `json:"text"`
}
