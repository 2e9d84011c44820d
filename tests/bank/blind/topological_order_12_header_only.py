# piece: topological_order
# verdict: empty
# style: a file with no line after the header
