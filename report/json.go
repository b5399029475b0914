package report

import (
	"encoding/json"
	"fmt"
	"io"
)

// JSON writes the report as its schema, docs/report.schema.json, says.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}
