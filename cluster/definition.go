package cluster

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A CustomResourceDefinition is one of apiextensions.k8s.io/v1, whose schemas are not
// decoded: they may hold more values than all other fields of a cluster's objects.
type CustomResourceDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   DefinitionSpec        `json:"spec,omitempty"`
	Status *runtime.RawExtension `json:"status,omitempty"`
}

// A DefinitionSpec is the spec of a [CustomResourceDefinition].
type DefinitionSpec struct {
	Group                 string                 `json:"group"`
	Names                 DefinitionNames        `json:"names"`
	Scope                 string                 `json:"scope"`
	Versions              []runtime.RawExtension `json:"versions"`
	Conversion            *runtime.RawExtension  `json:"conversion,omitempty"`
	PreserveUnknownFields bool                   `json:"preserveUnknownFields,omitempty"`
}

// DefinitionNames are the names of the kind that a [CustomResourceDefinition] defines.
type DefinitionNames struct {
	Plural     string   `json:"plural"`
	Singular   string   `json:"singular,omitempty"`
	ShortNames []string `json:"shortNames,omitempty"`
	Kind       string   `json:"kind"`
	ListKind   string   `json:"listKind,omitempty"`
	Categories []string `json:"categories,omitempty"`
}

// A CustomResourceDefinitionList is a list of them.
type CustomResourceDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []CustomResourceDefinition `json:"items"`
}

// definitionVersion is the version of a [CustomResourceDefinition].
var definitionVersion = schema.GroupVersion{Group: "apiextensions.k8s.io", Version: "v1"}

// Defines returns the group and kind of the custom resources.
func (d *CustomResourceDefinition) Defines() schema.GroupKind {
	return schema.GroupKind{Group: d.Spec.Group, Kind: d.Spec.Names.Kind}
}

// DeepCopy returns a copy that shares nothing with d.
func (d *CustomResourceDefinition) DeepCopy() *CustomResourceDefinition {
	c := *d
	d.ObjectMeta.DeepCopyInto(&c.ObjectMeta)
	c.Spec.Names.ShortNames, c.Spec.Names.Categories = slices.Clone(d.Spec.Names.ShortNames),
		slices.Clone(d.Spec.Names.Categories)
	c.Spec.Versions = slices.Clone(d.Spec.Versions)
	for i := range c.Spec.Versions {
		d.Spec.Versions[i].DeepCopyInto(&c.Spec.Versions[i])
	}
	c.Spec.Conversion, c.Status = d.Spec.Conversion.DeepCopy(), d.Status.DeepCopy()
	return &c
}

// DeepCopyObject implements runtime.Object.
func (d *CustomResourceDefinition) DeepCopyObject() runtime.Object { return d.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (l *CustomResourceDefinitionList) DeepCopyObject() runtime.Object {
	c := *l
	l.ListMeta.DeepCopyInto(&c.ListMeta)
	c.Items = make([]CustomResourceDefinition, len(l.Items))
	for i := range l.Items {
		c.Items[i] = *l.Items[i].DeepCopy()
	}
	return &c
}
