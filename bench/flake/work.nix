# Work for the evaluator and for nobody else: so many times a thousand additions. No two hosts share it.
rounds: name:
let
  inherit (builtins) add foldl' genList;
  thousand = start: foldl' add start (genList (number: number) 1000);
in
foldl' (sum: _: thousand sum) (builtins.stringLength name) (genList (number: number) rounds)
