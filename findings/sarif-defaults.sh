#!/usr/bin/env bash
# A SARIF result with a rule, a text and a file, made with go-sarif's constructors; the rule's default level is error.
#
# One would think: fields that were not set are left out; the specification says what their absence means.
# Seen: every field with a default is written: rank -1, ruleIndex -1, kind, ten empty lists, and level "warning", which
# takes precedence over the level in the rule's own configuration: a rule declared as an error is reported as a warning
# unless each result says so again. Its own Validate calls all of that valid.
# With github.com/owenrumney/go-sarif/v3 3.3.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program github.com/owenrumney/go-sarif/v3@v3.3.1 <<'GO' | as_seen '{
 "attachments": [],
 "codeFlows": [],
 "fixes": [],
 "graphTraversals": [],
 "graphs": [],
 "kind": "fail",
 "level": "warning",
 "locations": [],
 "message": {
  "arguments": [],
  "text": "is wrong"
 },
 "rank": -1,
 "relatedLocations": [],
 "ruleId": "a-rule",
 "ruleIndex": -1,
 "stacks": [],
 "taxa": []
} <nil>'
package main

import (
	"encoding/json"
	"fmt"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

func main() {
	result := sarif.NewRuleResult("a-rule").WithMessage(sarif.NewTextMessage("is wrong"))
	text, err := json.MarshalIndent(result, "", " ")
	fmt.Println(string(text), err)
}
GO
