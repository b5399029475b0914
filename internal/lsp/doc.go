// Package lsp is a language server: the part of the Language Server Protocol 3.17 that shows findings in an editor.
//
// It speaks the protocol over a pair of streams, keeps the text of the open documents, and asks a Backend what is
// found in the workspace whenever something in it changes. What is found is published as diagnostics; the page of a
// rule is shown on hover, and what mends a finding is a code action.
//
// The messages are those of https://microsoft.github.io/language-server-protocol/specifications/lsp/3.17/specification.
package lsp
