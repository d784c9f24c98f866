-- ?1 generation: for each log the least checkpoint of its partitions
SELECT log, min(position) FROM checkpoints WHERE generation = ?1 GROUP BY log
