"""Tables to joined layers: pure functions on (Geo)DataFrames."""
