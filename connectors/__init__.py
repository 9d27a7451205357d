"""The edges: whatever touches the world outside Kafka, one room a neighbour."""
