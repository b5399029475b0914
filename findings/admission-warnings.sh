#!/usr/bin/env bash
# Warnings of admission webhooks, 300 characters each.
#
# One would think: the API server hands them on, or cuts those that are too long, and says so.
# Seen: up to 4096 characters in all, each is handed on in full, however long. With the one that goes beyond, all of them,
# those already written too, are cut to 256 without a mark; and what comes once 4096 characters are written again is
# dropped without a trace. Thirteen arrive whole, fourteen each lose their end (where a remedy would stand), of twenty
# the last four are never seen. Equal texts count once. With k8s.io/apiserver 0.37.1.
# shellcheck source=findings/lib.sh
source "$(dirname "$0")/lib.sh"

program k8s.io/apiserver@v0.37.1 k8s.io/apimachinery@v0.37.1 <<'GO' | as_seen 'sent 13 of 300: arrived 13 of 300
sent 14 of 300: arrived 14 of 256
sent 20 of 300: arrived 16 of 256'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/warning"
)

func main() {
	for _, send := range []int{13, 14, 20} {
		handler := filters.WithWarningRecorder(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for i := range send {
				warning.AddWarning(r.Context(), "", fmt.Sprintf("%02d%s", i, strings.Repeat("x", 298)))
			}
		}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
		arrived, _ := net.ParseWarningHeaders(w.Result().Header["Warning"])
		fmt.Printf("sent %d of 300: arrived %d of %d\n", send, len(arrived), len(arrived[0].Text))
	}
}
GO
