-- Two seconds of each item, closed once.
SELECT item_id,
       count(*)                AS visits,
       count(DISTINCT user_id) AS people,
       avg(user_id)            AS usual,
       stddev(user_id)         AS spread,
       max(ts)                 AS latest
FROM visits
GROUP BY item_id, tumble(ts, '2 seconds')
