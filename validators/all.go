package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	statefulsetGracePeriod,
	statefulsetNameLength,
	statefulsetOnDelete,
	statefulsetRetention,
	statefulsetServiceHeadless,
	statefulsetServiceMissing,
	statefulsetServiceName,
	statefulsetServiceSelector,
}
