//go:build goexperiment.jsonv2 && unix

package fastjson_test

import (
	"encoding/json/jsontext"
	jsonv2 "encoding/json/v2"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"stayput.dev/internal/quantity"
)

func init() { decoders["encoding-json-v2"] = v2 }

// v2 decodes the objects together with the review. It has unmarshalers for the
// types that would otherwise use their slow UnmarshalJSON. It keeps no raw JSON.
func v2(body []byte) (*admissionv1.AdmissionReview, any, any, error) {
	review := new(admissionv1.AdmissionReview)
	var objects [2]any
	raw := jsonv2.UnmarshalFromFunc(func(dec *jsontext.Decoder, field *runtime.RawExtension) error {
		if dec.PeekKind() == 'n' || field == &review.Request.Options {
			return dec.SkipValue()
		}
		i := 0
		if field == &review.Request.OldObject {
			i = 1
		}
		objects[i] = newFor(review.Request)
		return jsonv2.UnmarshalDecode(dec, objects[i])
	})
	err := jsonv2.Unmarshal(body, review, jsonv2.WithUnmarshalers(jsonv2.JoinUnmarshalers(raw, scalars)))
	return review, objects[0], objects[1], err
}

// scalars decodes values that are one token.
var scalars = jsonv2.JoinUnmarshalers(
	jsonv2.UnmarshalFromFunc(func(dec *jsontext.Decoder, t *metav1.Time) error {
		token, err := dec.ReadToken()
		if err != nil || token.Kind() == 'n' {
			return err
		}
		parsed, err := time.Parse(time.RFC3339, token.String())
		t.Time = parsed.Local()
		return err
	}),
	jsonv2.UnmarshalFromFunc(func(dec *jsontext.Decoder, q *resource.Quantity) error {
		token, err := dec.ReadToken()
		if err != nil || token.Kind() == 'n' {
			return err
		}
		text := token.String()
		if quantity.Heavy(text) {
			return fmt.Errorf("a heavy quantity")
		}
		*q, err = resource.ParseQuantity(strings.TrimSpace(text))
		return err
	}),
	jsonv2.UnmarshalFromFunc(func(dec *jsontext.Decoder, v *intstr.IntOrString) error {
		if dec.PeekKind() == '"' {
			v.Type = intstr.String
			return jsonv2.UnmarshalDecode(dec, &v.StrVal)
		}
		return jsonv2.UnmarshalDecode(dec, &v.IntVal)
	}),
)
