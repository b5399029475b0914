package validators

// All lists every rule, sorted by name.
var All = []*Rule{
	statefulsetDelete,
	statefulsetDisruptionBudget,
	statefulsetGracePeriod,
	statefulsetIdentity,
	statefulsetMaxUnavailable,
	statefulsetNameLength,
	statefulsetNoStorage,
	statefulsetOnDelete,
	statefulsetOrdinals,
	statefulsetParallel,
	statefulsetPartition,
	statefulsetReadiness,
	statefulsetRetention,
	statefulsetScaleDown,
	statefulsetScaleUp,
	statefulsetServiceHeadless,
	statefulsetServiceMissing,
	statefulsetServiceName,
	statefulsetServiceNotReadyAddresses,
	statefulsetServiceSelector,
	statefulsetServiceShared,
	statefulsetSpread,
	workloadFQDNLength,
	workloadSelectorOverlap,
}
