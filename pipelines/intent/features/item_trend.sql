-- How an item does with everybody: looked at how much, by how many people, and how often that led to more.
SELECT item_id,
       count(*) FILTER (WHERE behavior = 'pv'   AND within(ts, '30 minutes')) AS views_30m,
       count(*) FILTER (WHERE behavior = 'pv'   AND within(ts, '1 day'))      AS views_1d,
       count(*) FILTER (WHERE behavior <> 'pv'  AND within(ts, '1 day'))      AS actions_1d,
       count(*) FILTER (WHERE behavior = 'cart' AND within(ts, '1 day'))      AS carts_1d,
       count(DISTINCT user_id) FILTER (WHERE within(ts, '30 minutes'))        AS people_30m
FROM behavior
GROUP BY item_id
