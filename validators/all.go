package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	statefulsetGracePeriod,
	statefulsetNameLength,
	statefulsetNoStorage,
	statefulsetOnDelete,
	statefulsetOrdinals,
	statefulsetRetention,
	statefulsetScaleDown,
	statefulsetScaleUp,
	statefulsetServiceHeadless,
	statefulsetServiceMissing,
	statefulsetServiceName,
	statefulsetServiceNotReadyAddresses,
	statefulsetServiceSelector,
	statefulsetServiceShared,
}
